"""What could mislead a reader of this study, said when it applies and only then."""

from __future__ import annotations

from rankwise.studies.budget.plan import budget_changes, words
from rankwise.studies.config import StudyConfig
from rankwise.studies.results.verdicts import finished
from rankwise.studies.running.conduct import Outcome


def traps(config: StudyConfig, outcome: Outcome) -> list[str]:
    """Return one sentence per trap."""
    changes = "; ".join(budget_changes(config))
    found = [f"Fitted to a budget of {words(config.budget.seconds)}: {changes}."] if config.budget and changes else []
    if config.survey:
        found.append(
            f"A survey: {config.steps} steps at few learning rates show that a method trains, not which is best."
        )
    for arm in outcome.arms.values():
        if arm.best_lr is None:
            found.append(f"{arm.arm.label}: every learning rate diverged or failed; lower its grid.")
        elif not arm.bracketed and not config.survey:
            what = "so its score may be worse than it could be"
            if arm.arm is config.reference_arm:
                what = "so the reference may be under-trained and there is no verdict"
            found.append(f"{arm.arm.label}: the best learning rate {arm.best_lr:g} is at the edge of its grid, {what}.")
    if len(config.fresh_seeds) < 3 and not config.survey:
        found.append(f"Only {len(config.fresh_seeds)} fresh seeds: the verdict holds for these seeds only.")
    if len({taken.seeds for taken in outcome.decisions.taken}) > 1:
        found.append("Rules of thumb, right answers and trends are not corrected for the looks; the verdicts are.")
    for arm in outcome.arms.values():
        lost = len(arm.fresh) - len(finished(arm))
        if lost:
            found.append(f"{arm.arm.label}: {lost} of {len(arm.fresh)} fresh runs diverged or failed and are left out.")
    reference = finished(outcome.arms[config.reference_arm.name])
    if any(run.best_step == config.steps and _still_falling(run.curve) for run in reference.values()):
        found.append(
            f"{config.reference_arm.label} was still improving at step {config.steps}: a longer study may rank arms "
            f"differently (--steps {2 * config.steps}, in another --out)."
        )
    batches = {arm.batch or config.batch for arm in config.arms}
    if len(batches) > 1:
        found.append("Arms differ in batch size: at equal steps they see different numbers of examples.")
    return found


def _still_falling(curve: list[tuple[int, float]]) -> bool:
    """The last interval still took more than 2 % off the score."""
    return len(curve) > 1 and curve[-1][1] < 0.98 * curve[-2][1]
