"""One run: train one adapter (or all weights) on one data set and score it on the test split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankwise.adapters import Adapter
from rankwise.engine import RunResult, Score
from rankwise.engine.events.summary import summarize
from rankwise.errors import RunError
from rankwise.execution.progress import Progress
from rankwise.files import put_into, write_json
from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.lock import StudyLock
from rankwise.ledger.store import Ledger
from rankwise.studies.config import ORIGINS, Arm, StudyConfig, default_settings
from rankwise.studies.results.event_history import update_ranks
from rankwise.studies.results.modelcard import write_run_card
from rankwise.studies.running.runner import Runner, Trial
from rankwise.studies.running.setup import load_cell

DATA = "data.json"  # in the run's folder: what was read, and what became of its rows


@dataclass(frozen=True)
class Trained:
    """One finished run.

    Attributes:
        result: curve, losses, per-example scores, operations.
        base_test: the untouched model's scores on the same test examples.
        base_right: per question of the quiz, whether the untouched model answers it; None without a quiz.
        path: folder of the saved adapter (or model, for full fine-tuning), the one asked for; None when it diverged.
        notes: what a reader should know of the data: rows left out, cut, dropped.
    """

    result: RunResult
    base_test: Score
    path: Path | None
    base_right: tuple[bool, ...] | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the short form that ``rankwise train --json`` prints."""
        r = self.result
        return {
            "status": r.status,
            "reason": r.reason,
            "selection_nll": r.selection_nll,
            "best_step": r.best_step,
            "test_nll": r.test.mean if r.test else None,
            "test_nll_final": r.test_final.mean if r.test_final else None,
            "base_test_nll": self.base_test.mean,
            "exact_match": _share(r.right),
            "base_exact_match": _share(self.base_right),
            "curve": [list(point) for point in r.curve],
            "trainable": r.trainable,
            **({"events": summarize(r.events)} if r.events else {}),
            **({"update": update_ranks(r)} if r.spectrum else {}),
            "flops": r.flops,
            "path": str(self.path) if self.path else None,
            "notes": list(self.notes),
        }


def run_single(config: StudyConfig, arm: Arm, out: Path, progress: Progress | None = None) -> Trained:
    """Train ``arm``, at the one rate it has, in the folder ``out``, where the adapter is in the end.

    The same call continues a run cut short.

    Raises:
        UsageError: a bad setting, model or data, or a folder that holds something else.
        RunError: the run failed.
    """
    progress = progress or Progress()
    folder = StudyFolder(out)
    base, splits = load_cell(config, progress)
    with StudyLock(out):
        state = folder.open_or_create(config.to_dict(), defaults=default_settings(), aside=ORIGINS)
        folder.clean_temporaries()
        write_json(out / DATA, {"data": config.data, "columns": config.columns, "notes": list(splits.notes)})
        with Ledger(out) as ledger:
            runner = Runner(config, folder, ledger, base, splits, progress, keep_full=True)
            (lr,) = config.learning_rates[arm.name]
            trial = Trial(arm, lr, config.seed, fresh=True)
            if state == "resumed":
                done = runner.known(trial) is not None
                progress.note("resumed: this run is already done" if done else "resumed: continuing this run")
            _, base_test = runner.base_scores()
            before = runner.base_right()
            progress.plan(1, 0)
            (result,) = runner.run([trial])
            if result is None:
                raise RunError(f"the run failed: {runner.executor.failures()[-1]['reason']}")
            saved = runner.adapter(trial)
            spec = runner.job(trial).spec
            if (saved / "adapter_config.json").exists() and isinstance(spec.target, Adapter):
                write_run_card(saved, arm.known_method, spec, base, splits, result, base_test)
            if saved.exists():
                put_into(out, saved, last=("adapter_config.json", "config.json"))
    return Trained(result, base_test, out if saved.exists() else None, before, splits.notes)


def _share(right: tuple[bool, ...] | None) -> float | None:
    return sum(right) / len(right) if right else None
