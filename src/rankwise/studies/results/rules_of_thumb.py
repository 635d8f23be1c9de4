"""Rules of thumb that a study supports, each with its evidence, or with what is missing.

They describe this model and this data. A rule that only the search supports (one seed, selection split) says so and
has no interval; one that fresh seeds support has the interval of its difference, as a share of the gain.
"""

from __future__ import annotations

import math
from typing import Any

from rankwise.stats.contrast import clearly_positive, gain, regret
from rankwise.stats.scores import Scores
from rankwise.studies.config import StudyConfig
from rankwise.studies.results.verdicts import arm_scores
from rankwise.studies.running.conduct import ArmOutcome, Outcome

Rule = dict[str, Any]


def rules(config: StudyConfig, outcome: Outcome) -> list[Rule]:
    """Return ``{"rule", "sentence", "enough", "evidence"}`` for the three questions people carry from run to run."""
    return [_rate_ratio(config, outcome), _saturation(config, outcome), _mlp_only(config, outcome)]


def _rate_ratio(config: StudyConfig, outcome: Outcome) -> Rule:
    """LoRA's best learning rate over the reference's: geometric mean over arms, and what the grids leave open."""
    name = "learning-rate-ratio"
    reference = outcome.arms[config.reference_arm.name]
    if config.reference_arm.method != "full" or not reference.bracketed:
        why = "full fine-tuning has no bracketed best learning rate here"
        return _missing(name, f"how far above full fine-tuning's LoRA's learning rate should be: {why}")
    arms = [a for a in _lora(config, outcome) if a.bracketed]
    if not arms:
        return _missing(
            name, "how far above full fine-tuning's LoRA's learning rate should be: no LoRA arm is bracketed"
        )
    low, best, high = _around(reference)
    logs, ends = [], []
    for arm in arms:
        below, own, above = _around(arm)
        logs.append(math.log(own / best))
        # The optimum lies within half a step of the grid on either side, on a log scale, for both.
        ends += [math.sqrt(below * own) / math.sqrt(best * high), math.sqrt(own * above) / math.sqrt(low * best)]
    ratio = math.exp(sum(logs) / len(logs))
    sentence = (
        f"LoRA's best learning rate was {ratio:.2g} times full fine-tuning's (geometric mean over {len(arms)} "
        f"arm{'s' if len(arms) > 1 else ''}, one seed each; the grids leave it between {min(ends):.2g} and "
        f"{max(ends):.2g})."
    )
    evidence = {"ratio": ratio, "low": min(ends), "high": max(ends), "arms": [a.arm.name for a in arms], "n": len(arms)}
    return _rule(name, sentence, evidence)


def _saturation(config: StudyConfig, outcome: Outcome) -> Rule:
    """The smallest rank that loses less than the margin against the largest one."""
    name = "rank-saturation"
    ladder = sorted(_lora(config, outcome), key=_rank)
    if len({_rank(a) for a in ladder}) < 3:
        return _missing(name, "from which rank on more rank stops helping: fewer than 3 ranks were compared")
    if edges := _at_edge(config, outcome, *ladder):
        return _missing(name, f"from which rank on more rank stops helping: {edges}")
    top = ladder[-1]
    found = [(arm, _compare(arm, top, config, outcome)) for arm in ladder[:-1]]
    if any(facts is None for _, facts in found):
        return _missing(name, "from which rank on more rank stops helping: training gained nothing to compare by")
    kept = next(((arm, facts) for arm, facts in found if facts and facts["lost"] <= config.margin), None)
    ranks = ", ".join(str(_rank(a)) for a in ladder)
    if kept is None:
        sentence = (
            f"Recovery had not saturated: r={_rank(top)} was the best of ranks {ranks}, and no lower one came close."
        )
        return _rule(name, sentence, {"rank": None, "ranks": [_rank(a) for a in ladder], "n": len(ladder)})
    arm, facts = kept
    assert facts is not None
    sentence = f"Recovery saturates at r={_rank(arm)} (ranks {ranks}): against r={_rank(top)} it {_words(facts)}."
    return _rule(name, sentence, {"rank": _rank(arm), "ranks": [_rank(a) for a in ladder], "n": len(ladder), **facts})


def _mlp_only(config: StudyConfig, outcome: Outcome) -> Rule:
    """Whether leaving attention out costs more than the margin, at equal rank."""
    name = "mlp-only"
    what = "whether adapters on the MLP alone are enough"
    whole = {_rank(a): a for a in _lora(config, outcome)}
    parts = [a for a in _lora(config, outcome, "mlp") if _rank(a) in whole]
    if not parts:
        return _missing(name, f"{what}: no MLP-only arm stands beside all linear layers at the same rank")
    arm = max(parts, key=_rank)
    if edges := _at_edge(config, outcome, arm, whole[_rank(arm)]):
        return _missing(name, f"{what}: {edges}")
    facts = _compare(arm, whole[_rank(arm)], config, outcome)
    if facts is None:
        return _missing(name, f"{what}: training gained nothing to compare by")
    low, high = (facts["low"], facts["high"]) if facts["fresh"] else (facts["lost"], facts["lost"])
    verdict = "is enough" if high < config.margin else "is not enough" if low > config.margin else "may or may not do"
    start = "MLP only" if facts["fresh"] else "On the search alone, MLP only"
    sentence = f"{start} {verdict} at r={_rank(arm)}: against all linear layers it {_words(facts)}."
    return _rule(name, sentence, {"rank": _rank(arm), **facts})


def _lora(config: StudyConfig, outcome: Outcome, placement: str = "all-linear") -> list[ArmOutcome]:
    """LoRA arms at the study's own batch size and one placement, whose best run went to its end."""
    same = config.reference_arm.batch
    chosen = []
    for arm in outcome.arms.values():
        best = arm.screening.get(arm.best_lr) if arm.best_lr is not None else None
        fits = arm.arm.method == "lora" and arm.arm.batch == same
        if fits and arm.arm.options.get("placement", "all-linear") == placement and best and best.status == "done":
            chosen.append(arm)
    return chosen


def _at_edge(config: StudyConfig, outcome: Outcome, *arms: ArmOutcome) -> str:
    """Say whose best learning rate lies at the edge of its grid, of the arms and the reference; empty if none."""
    reference = outcome.arms[config.reference_arm.name]
    names = dict.fromkeys(arm.arm.label for arm in (reference, *arms) if not arm.bracketed)
    return f"the best learning rate of {', '.join(names)} is at the edge of its grid" if names else ""


def _rank(arm: ArmOutcome) -> int:
    return int(arm.arm.options.get("rank", 16))


def _around(arm: ArmOutcome) -> tuple[float, float, float]:
    """The best learning rate between its neighbors; call it for a bracketed arm."""
    rates = sorted(arm.scores)
    assert arm.best_lr is not None
    place = rates.index(arm.best_lr)
    return rates[place - 1], arm.best_lr, rates[place + 1]


def _compare(arm: ArmOutcome, other: ArmOutcome, config: StudyConfig, outcome: Outcome) -> dict[str, Any] | None:
    """Share of the reference's gain that ``arm`` loses against ``other``; None when there is no gain."""
    reference = outcome.arms[config.reference_arm.name]
    tokens = outcome.base_test.targets
    sides = [arm_scores(a, tokens) for a in (arm, other, reference)]
    if all(side is not None for side in sides):
        base = Scores.without_seed(outcome.base_test.nll, tokens)
        ours, theirs, full = (side for side in sides if side is not None)
        bought = gain(full, base)
        if not clearly_positive(bought):
            return None
        lost = regret(ours, theirs, base)
        scale = float(bought.estimate)
        low, high = (float(end) / scale for end in lost.interval())
        seeds = {"seeds": len(ours.nll), "examples": ours.examples}
        return {"lost": float(lost.estimate) / scale, "low": low, "high": high, "fresh": True, **seeds}
    rates = [(a.scores[a.best_lr] if a.best_lr is not None else None) for a in (arm, other, reference)]
    a_nll, b_nll, full_nll = rates
    if a_nll is None or b_nll is None or full_nll is None or outcome.base_selection.mean <= full_nll:
        return None
    lost_share = (a_nll - b_nll) / (outcome.base_selection.mean - full_nll)
    seen = {"seeds": 1, "examples": len(outcome.base_selection.nll)}
    return {"lost": lost_share, "low": None, "high": None, "fresh": False, **seen}


def _words(facts: dict[str, Any]) -> str:
    lost = f"loses {100 * facts['lost']:.1f} % of the gain"
    if facts["fresh"]:
        ends = f"[{100 * facts['low']:.1f}, {100 * facts['high']:.1f}]"
        return f"{lost} {ends} ({facts['seeds']} fresh seeds, {facts['examples']} test examples)"
    return f"{lost} (one seed, {facts['examples']} selection examples, no interval)"


def _rule(name: str, sentence: str, evidence: dict[str, Any]) -> Rule:
    return {"rule": name, "sentence": sentence, "enough": True, "evidence": evidence}


def _missing(name: str, what: str) -> Rule:
    return {"rule": name, "sentence": f"Not enough data to say {what}.", "enough": False, "evidence": {}}
