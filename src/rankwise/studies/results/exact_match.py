"""Exact match in a study: how many test questions each arm answers rightly, beside the reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankwise.engine import Quiz
from rankwise.stats.mcnemar import paired_over_seeds
from rankwise.stats.single import FLOOR
from rankwise.studies.config import StudyConfig
from rankwise.studies.results import schema
from rankwise.studies.results.verdicts import finished
from rankwise.studies.running.conduct import ArmOutcome, Outcome

CLEAR = 0.05  # p-value under which a difference is called one


def exact_match(
    config: StudyConfig, outcome: Outcome, quiz: Quiz | None, base: tuple[bool, ...] | None
) -> schema.ExactMatch | None:
    """Return the section of the results, plain JSON values; None when the study did not ask for it."""
    if not config.exact_match:
        return None
    if quiz is None or base is None:
        note = "No test example has a short answer or one after ####, so there is no exact match; read the NLL."
        return {"questions": 0, "base": None, "floor": False, "chance": None, "arms": [], "note": note}
    reference = outcome.arms[config.reference_arm.name]
    theirs = _right(reference)
    taken = [outcome.arms[name] for name in (reference.arm.name, *outcome.finalists)]
    shown = [(arm, right) for arm in taken if (right := _right(arm)) is not None]
    before = float(np.mean(base))
    floor = max((float(right.mean()) for _, right in shown), default=before) <= max(FLOOR, quiz.commonest)
    return {
        "questions": len(quiz.golds),
        "base": before,
        "chance": quiz.commonest,
        "floor": floor,
        "note": _floor_note(quiz.commonest) if floor else None,
        "arms": [_arm(arm, right, reference, theirs, config, floor) for arm, right in shown],
    }


def _right(arm: ArmOutcome) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    rows = [run.right for run in finished(arm).values() if run.right is not None]
    return np.array(rows, dtype=bool) if rows else None


def _arm(
    arm: ArmOutcome, right: Any, reference: ArmOutcome, theirs: Any, config: StudyConfig, floor: bool
) -> schema.AnswersOf:
    own: schema.AnswersOf = {
        "arm": arm.arm.name,
        "accuracy": float(right.mean()),
        "per_seed": [float(row.mean()) for row in right],
        "only_arm": None,
        "only_reference": None,
        "p": None,
        "sentence": "",
    }
    share = f"{100 * own['accuracy']:.1f} %"
    if arm is reference or theirs is None:
        return {**own, "sentence": f"{arm.arm.label} answers {share} of {right.shape[1]} questions."}
    found = paired_over_seeds(right, theirs)
    words = config.reference_words
    edge = next((one.arm.label for one in (reference, arm) if not one.bracketed), None)
    if floor:
        says = "accuracy is at the floor, so this comparison says nothing"
    elif edge is not None:
        says = f"no verdict, as the best learning rate of {edge} is at the edge of its grid"
    elif found.p > CLEAR:
        says = "no difference is shown"
    else:
        says = f"{arm.arm.label if found.only_arm > found.only_reference else words} answers more"
    sentence = (
        f"{arm.arm.label} answers {share} of {right.shape[1]} questions, {words} {100 * float(theirs.mean()):.1f} %; "
        f"it is ahead on {found.only_arm} and behind on {found.only_reference} of them "
        f"(exact McNemar p = {found.p:.2g}): {says}, for these seeds."
    )
    return {
        **own,
        "only_arm": found.only_arm,
        "only_reference": found.only_reference,
        "p": found.p,
        "sentence": sentence,
    }


def _floor_note(chance: float) -> str:
    what = "always giving the commonest answer scores" if chance > FLOOR else "counts as the floor"
    return (
        f"Accuracy is at the floor: no arm is above the {100 * max(FLOOR, chance):.1f} % that {what}. Compare by NLL, "
        "which sees what exact match cannot."
    )
