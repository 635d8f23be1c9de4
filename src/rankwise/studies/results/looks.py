"""What a study's result says of its looks and of its margin, in numbers and one sentence each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rankwise.stats.verdict import ERROR
from rankwise.studies.budget.plan import words
from rankwise.studies.config import StudyConfig
from rankwise.studies.results import schema
from rankwise.studies.running.outcome import ArmOutcome, End, Outcome, finished


def looks(config: StudyConfig, outcome: Outcome) -> schema.LooksTaken | None:
    """Return the looks that were taken; None without fresh seeds."""
    found = outcome.decisions
    if not found.taken:
        return None
    often, limit = config.until == "decided", len(config.fresh_seeds)
    return {
        "error": ERROR,
        "horizon": config.horizon if often else None,
        "limit": limit,
        "ended": found.ended,
        "sentence": _sentence(config, outcome),
        "taken": [
            {"family": t.family, "seeds": t.seeds, "level": t.level, "spent": t.spent, "words": dict(t.words)}
            for t in found.taken
        ],
    }


def _sentence(config: StudyConfig, outcome: Outcome) -> str:
    found = outcome.decisions
    last = max(found.taken, key=lambda taken: taken.seeds)
    wrong = f"{100 * ERROR:g} in 100 studies"
    if found.ended is None:
        said = f"One look, at {_seeds(last.seeds)}: a claim of any one kind is wrong in at most {wrong}."
    else:
        counts = sorted({taken.seeds for taken in found.taken})
        further = f" and each further one up to {counts[-1]}" * (len(counts) > 1)
        said = (
            f"Looked after {counts[0]} fresh seeds{further}, and {_ended(config, found.ended)}. Over all looks a claim "
            f"of any one kind is wrong in at most {wrong}; {100 * last.spent:.2g} of these are used up so far."
        )
    if len(found.families) > 1:
        said += (
            f" Arms that were added after a look are judged apart, with as much again: {len(found.families)} groups."
        )
    if found.elsewhere:
        said += f" {found.elsewhere} earlier looks, at other learning rates, had as much again."
    return said


def _ended(config: StudyConfig, ended: End) -> str:
    limit = len(config.fresh_seeds)
    if ended == "limit":
        return f"stopped at the limit of {limit}"
    if ended == "time":
        seconds = config.budget.seconds if config.budget else config.limit_seconds
        return f"stopped because {words(seconds or 0.0)} are used up"
    if ended == "futile":
        return f"stopped because going on to {limit} would hardly decide what is left"
    return "stopped because no further seed would change a word"


def allowed(config: StudyConfig, outcome: Outcome, targets: int) -> schema.Allowed | None:
    """Return the margin as it is on this model and data; None without fresh runs of the reference.

    Args:
        targets: tokens of the test examples that are scored.
    """
    reference = outcome.arms[config.reference_arm.name]
    runs = finished(reference)
    tests = [run.test.mean for run in runs.values() if run.test]
    if not tests or sum(tests) / len(tests) >= outcome.base_test.mean:
        return None
    loss, base = sum(tests) / len(tests), outcome.base_test.mean
    nats = config.judged_by.nats(loss, base)
    answer = nats * targets / len(outcome.base_test.nll)
    step, share = _early(reference, outcome.base_selection.mean)
    sentence = (
        f"To match, an arm's loss may be at most {nats:.3f} nats per token above {loss:.3f}: {answer:.2g} nats per "
        f"answer, a factor of {math.exp(nats):.3f} in perplexity."
    )
    if share is not None and 0 <= share <= 1 and step is not None and step < config.steps:
        sentence += f" {100 * share:.0f} % of the reference's gain was there after {step} of {config.steps} steps."
    return {
        "nats": nats,
        "per_answer": answer,
        "perplexity": math.exp(nats),
        "early_step": step,
        "early_share": share,
        "sentence": sentence,
    }


def _early(reference: ArmOutcome, base: float) -> tuple[int | None, float | None]:
    """Return the first step at which the reference was scored, and the share of its gain that was there by then."""
    curves: Sequence[Sequence[tuple[int, float]]] = [run.curve for run in finished(reference).values() if run.curve]
    if not curves:
        return None, None
    first = sum(curve[0][1] for curve in curves) / len(curves)
    lowest = sum(min(nll for _, nll in curve) for curve in curves) / len(curves)
    return curves[0][0][0], (base - first) / (base - lowest) if base > lowest else None


def _seeds(count: int) -> str:
    return f"{count} fresh seed{'s' * (count != 1)}"
