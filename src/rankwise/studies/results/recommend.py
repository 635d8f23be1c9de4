"""The one sentence at the top, and the arm to use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from rankwise.stats.verdict_words import FALLS_SHORT, MATCHING, NO_VERDICT, UNDECIDED
from rankwise.studies.config import CheapestBy, StudyConfig
from rankwise.studies.presets.survey import survey
from rankwise.studies.results.schema import ArmCost, Conclusion, Guess
from rankwise.studies.results.verdicts import Judgement
from rankwise.studies.running.conduct import Outcome

WORDS: dict[CheapestBy, str] = {
    "flops": "executed operations",
    "memory": "peak memory",
    "time": "time per step",
    "params": "trainable parameters",
    "bytes": "the size of its file",
}
_MEASURED: dict[CheapestBy, Literal["peak_memory_bytes", "seconds_per_step", "adapter_bytes"]] = {
    "memory": "peak_memory_bytes",
    "time": "seconds_per_step",
    "bytes": "adapter_bytes",
}


_NOTE = "That is a guess under flat priors, one less the p-value of the claim, and no verdict."


def recommend(config: StudyConfig, outcome: Outcome, judgement: Judgement, costs: Mapping[str, ArmCost]) -> Conclusion:
    """Return headline, recommended arm (or None), reason and the cost it was chosen by.

    The recommendation is the cheapest arm that matches, by ``config.cheapest_by``; ties by parameters.

    Args:
        costs: the ``arms`` of the cost document, for what was measured.
    """
    found = _recommend(config, outcome, judgement, costs)
    guess = None if found["recommended"] else _guess(config, judgement)
    return {**found, "cheapest_by": config.cheapest_by, "guess": guess}


def _guess(config: StudyConfig, judgement: Judgement) -> Guess | None:
    """Return the undecided arm that is likeliest to match, to be used meanwhile; None when no arm is undecided."""
    chances = {n: v.chance for n, v in judgement.verdicts.items() if v.word == UNDECIDED and v.chance is not None}
    if not chances:
        return None
    name = max(chances, key=lambda arm: (chances[arm], arm))
    percent = 100 * chances[name]
    said = f"{percent:.0f} %" if 1 <= percent < 99.5 else "under 1 %" if percent < 1 else "over 99 %"
    label, reference = config.arm(name).label, config.reference_words
    if percent < 50:
        other = f"Meanwhile {reference} is the safer choice: {label}, the likeliest arm, matches it"
        return {"arm": name, "chance": chances[name], "sentence": f"{other} with a probability of {said} only. {_NOTE}"}
    sentence = f"Meanwhile use {label}: it matches {reference} with a probability of {said}. {_NOTE}"
    return {"arm": name, "chance": chances[name], "sentence": sentence}


def _recommend(config: StudyConfig, outcome: Outcome, judgement: Judgement, costs: Mapping[str, ArmCost]) -> Conclusion:
    reference = config.reference_words
    if found := survey(config, outcome):
        arms = [row for row in found["arms"] if row["name"] != config.reference_arm.name]
        below = sum(row["below"] for row in arms)
        headline = f"{below} of {len(arms)} methods end below the untouched model's NLL of {found['base_nll']:.3f}."
        return {"headline": headline, "recommended": None, "reason": "a survey compares nothing with fresh seeds"}
    if outcome.arms[config.reference_arm.name].best_lr is None:
        reason = f"every learning rate of {reference} diverged or failed; lower its grid"
        return {"headline": f"No verdict: {reference} never finished.", "recommended": None, "reason": reason}
    verdicts = judgement.verdicts
    matching = [name for name, verdict in verdicts.items() if verdict.word in MATCHING]
    if matching:
        chosen, reason = _cheapest(matching, config.cheapest_by, outcome, costs)
        sentence = verdicts[chosen].sentence(config.arm(chosen).label, reference)
        return {"headline": sentence, "recommended": chosen, "reason": reason}
    words = {verdict.word for verdict in verdicts.values()}
    if words == {FALLS_SHORT}:
        names = _names(config, list(verdicts))
        headline = f"{names} fall{'s' if len(verdicts) == 1 else ''} short of {reference}."
        return {"headline": headline, "recommended": None, "reason": "no arm matches; try a higher rank or more steps"}
    for word in (UNDECIDED, NO_VERDICT):
        for name, verdict in verdicts.items():
            if verdict.word == word:
                sentence = verdict.sentence(config.arm(name).label, reference)
                return {"headline": sentence, "recommended": None, "reason": verdict.reason}
    reason = "no arm has finished runs on fresh seeds"
    return {"headline": "No verdict: no arm was run on fresh seeds.", "recommended": None, "reason": reason}


def best_arm(outcome: Outcome, recommended: str | None) -> str | None:
    """Return the arm whose adapter goes to ``best/``: the recommended one, else the best on fresh seeds' test."""
    if recommended is not None:
        return recommended
    tested = {}
    for name in outcome.finalists:
        runs = [r for r in outcome.arms[name].fresh.values() if r is not None and r.status == "done" and r.test]
        if runs:
            tested[name] = sum(r.test.mean for r in runs if r.test) / len(runs)
    return min(tested, key=lambda name: (tested[name], name)) if tested else None


def _cheapest(names: list[str], by: CheapestBy, outcome: Outcome, costs: Mapping[str, ArmCost]) -> tuple[str, str]:
    """Return the cheapest of ``names`` and why; an arm whose cost could not be measured is never called cheapest."""
    key = _MEASURED.get(by)
    known = [name for name in names if key is None or costs.get(name, {}).get(key) is not None]
    missing = [name for name in names if name not in known]
    if not known:
        chosen, _ = _cheapest(names, "flops", outcome, costs)
        return chosen, f"the cheapest arm that matches, by {WORDS['flops']}: {WORDS[by]} could not be measured"

    def price(name: str) -> tuple[float, int, str]:
        flops, trainable, _ = _price(outcome, name)
        own = costs[name].get(key) if key else flops if by == "flops" else trainable
        return float(own or 0), trainable, name

    left_out = f"; {', '.join(missing)} could not be measured" if missing else ""
    return min(known, key=price), f"the cheapest arm that matches, by {WORDS[by]}{left_out}"


def _price(outcome: Outcome, name: str) -> tuple[int, int, str]:
    run = next(r for r in outcome.arms[name].fresh.values() if r is not None)
    return run.flops, run.trainable, name


def _names(config: StudyConfig, names: list[str]) -> str:
    labels = [config.arm(name).label for name in names]
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"
