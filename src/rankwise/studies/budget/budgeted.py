"""A study with a budget: plan it, conduct it, change the plan where the clock asks, and remember the plan.

``study.yaml`` holds the plan as it stands: the settings that runs are made from, and under ``budget.asked`` what the
command asked for instead. The same command continues with that plan and never makes another question of it; any other
command is refused, with the setting that differs. What a later session may change is what the first one may: fewer
fresh seeds, finalists or arms to the end while it runs, more fresh seeds when there is time left.
"""

from __future__ import annotations

import time

from rankwise.errors import UsageError
from rankwise.ledger.differences import first_difference
from rankwise.ledger.folder import StudyFolder
from rankwise.studies.budget.clock import Pace, ReplannedError, calibrate
from rankwise.studies.budget.plan import as_asked, budget_changes, plan, words
from rankwise.studies.config import ORIGINS, StudyConfig, parse_config
from rankwise.studies.running.conduct import Outcome, conduct
from rankwise.studies.running.runner import Runner


def stored_plan(config: StudyConfig, folder: StudyFolder) -> StudyConfig:
    """Return the plan in the folder when ``config`` asks for the very study it was made for, else ``config``.

    Raises:
        UsageError: the study there was asked for with a budget, and this one differs.
    """
    if not folder.study_file.exists() or unstarted(folder):
        return config
    found = folder.read_config()
    if not found.get("budget"):
        return config  # the folder itself refuses a difference
    stored = parse_config(found)
    if config.budget is None:
        raise UsageError(f"the study in {folder.path} has a budget; repeat its --budget, or choose another --out")
    difference = first_difference(as_asked(stored), config.to_dict(), frozenset(), ORIGINS)
    if difference is None:
        return stored
    raise UsageError(
        f"the study in {folder.path} was planned for {difference.name} = {difference.old}, this one has "
        f"{difference.new}; repeat the old setting, or choose another --out"
    )


def unstarted(folder: StudyFolder) -> bool:
    """Whether the folder holds a plan with a budget and no run: a budget that was too short may be replaced."""
    return folder.study_file.exists() and not folder.runs.exists() and bool(folder.read_config().get("budget"))


def conduct_within(runner: Runner, loading: float) -> Outcome:
    """Conduct ``runner``'s study inside its budget; ``runner.config`` ends as the plan that was carried out.

    Args:
        loading: seconds that loading model and data took.

    Raises:
        UsageError: not even the smallest study fits.
    """
    config = runner.config
    assert config.budget is not None
    runs = runner.ledger.trained()
    spent = loading + sum(run.seconds or 0.0 for run in runs)
    started = time.monotonic()
    timing = calibrate(config, runner, loading)
    if not runs:
        left = config.budget.seconds - spent - (time.monotonic() - started)
        fitted = plan(config, left, timing.study)
        runner.progress.note(
            f"Budget {words(config.budget.seconds)}: a training step takes {timing.reference_step:.2g} s for "
            f"{config.reference_words}, {timing.adapter_step:.2g} s for an adapter; the whole study would take about "
            f"{words(timing.study(config))}"
        )
        _adopt(runner, fitted)
    pace = Pace(runner, timing, spent + time.monotonic() - started)
    again = False
    while True:
        try:
            outcome = conduct(runner.config, runner, pace.watch, allows=pace.allows, again=again)
        except ReplannedError as change:
            changed: StudyConfig | None = change.config
        else:
            changed = pace.more()
            if changed is None:
                return outcome
        assert changed is not None
        _adopt(runner, changed)
        again = True


def _adopt(runner: Runner, config: StudyConfig) -> None:
    if config != runner.config:
        runner.executor.folder.replace_config(config.to_dict())
        runner.config = config
        changes = budget_changes(config)
        what = f"changed to fit the budget: {'; '.join(changes)}" if changes else "the budget leaves nothing out"
        runner.progress.note(what[0].upper() + what[1:])
