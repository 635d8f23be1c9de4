"""What each arm costs beside full fine-tuning: operations, parameters, bytes, time and memory."""

from __future__ import annotations

import torch

from rankwise.engine import RunResult
from rankwise.errors import RunError, UsageError
from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.store import Ledger
from rankwise.studies.config import StudyConfig
from rankwise.studies.results import schema
from rankwise.studies.results.file import read_document, write_document
from rankwise.studies.results.measure import measure
from rankwise.studies.running.conduct import ArmOutcome, Outcome
from rankwise.studies.running.runner import Runner, Trial


def costs(
    config: StudyConfig, folder: StudyFolder, ledger: Ledger, runner: Runner, outcome: Outcome, seconds: float
) -> tuple[schema.StudyCost, list[schema.Fault]]:
    """Return the cost part of the document, and what could not be measured and why, as faults.

    Time and memory are measured once per folder, each arm alone; what failed is tried again by the same command.
    """
    measured, faults = _measured(config, folder, runner, outcome)
    reference = outcome.arms[config.reference_arm.name]
    arms = {name: _arm(arm, reference, measured.get(name, {}), measured) for name, arm in outcome.arms.items()}
    for name, arm in outcome.arms.items():
        keys = [runner.key(Trial(arm.arm, lr, config.seed, fresh=False)) for lr in arm.screening]
        found = [run for run in map(ledger.get, keys) if run is not None]
        arms[name]["search_seconds"] = sum(run.seconds or 0.0 for run in found)
    runs = [run for run in ledger.trained() if run.result is not None]
    spent = sum(run.seconds or 0.0 for run in runs)
    return {
        "arms": arms,
        "study_seconds": max(seconds, spent),
        "training_seconds": spent,
        "seed_seconds": _seed_seconds(ledger, runner, config, outcome),
        "runs": len(runs),
    }, faults


def _seed_seconds(ledger: Ledger, runner: Runner, config: StudyConfig, outcome: Outcome) -> float:
    """What a fresh seed takes: the mean run of the reference and of every arm with fresh runs."""
    total = 0.0
    for name in (config.reference_arm.name, *outcome.finalists):
        arm = outcome.arms[name]
        trials = [Trial(arm.arm, arm.best_lr, seed, fresh=True) for seed in arm.fresh if arm.best_lr is not None]
        rows = [row for row in (ledger.get(runner.key(trial)) for trial in trials) if row is not None]
        total += sum(row.seconds or 0.0 for row in rows) / max(len(rows), 1)
    return total


def _measured(
    config: StudyConfig, folder: StudyFolder, runner: Runner, outcome: Outcome
) -> tuple[dict[str, dict[str, float]], list[schema.Fault]]:
    path = folder.path / "measured.json"
    try:
        known: dict[str, dict[str, float]] = read_document(path)
        known = known.get("arms", known)  # type: ignore[assignment]  # an earlier rankwise wrote the arms alone
    except (FileNotFoundError, UsageError):
        known = {}  # measured again
    judged = (config.reference_arm.name, *outcome.finalists)
    wanted = [name for name in judged if outcome.arms[name].best_lr is not None]
    missing = [name for name in wanted if name not in known] if config.measure else []
    if missing:
        runner.progress.note(f"Measuring time and memory of {len(missing)} arms, each alone in a fresh process")
    faults: list[schema.Fault] = []
    for name in missing:
        arm = outcome.arms[name]
        assert arm.best_lr is not None
        spec = runner.job(Trial(arm.arm, arm.best_lr, config.seed, fresh=False)).spec
        examples = runner.splits.train[: 4 * spec.batch]
        try:
            known[name] = measure(config.model, config.dtype, spec, examples, torch.get_num_threads())
        except RunError as error:
            runner.progress.note(f"{name} alone: {error}")
            faults.append({"run": f"{name} alone", "reason": str(error)})
    if missing:
        write_document(path, {"arms": known})
    return known, faults


def _arm(
    arm: ArmOutcome, reference: ArmOutcome, own: dict[str, float], measured: dict[str, dict[str, float]]
) -> schema.ArmCost:
    run, full = _longest(arm), _longest(reference)
    theirs = measured.get(reference.arm.name, {})
    size, full_size = _stored(run, arm), _stored(full, reference)
    return {
        # Per example, because an arm may have been stopped early.
        "flops_ratio": (run.flops / run.examples) / (full.flops / full.examples) if run and full else None,
        "trainable_ratio": run.trainable / full.trainable if run and full else None,
        "seconds_per_step": own.get("seconds_per_step"),
        "time_ratio": _ratio(own.get("seconds_per_step"), theirs.get("seconds_per_step")),
        "peak_memory_bytes": own.get("peak_memory_bytes"),
        "memory_ratio": _ratio(own.get("peak_memory_bytes"), theirs.get("peak_memory_bytes")),
        "adapter_bytes": size,
        "bytes_ratio": _ratio(size, full_size),
    }


def _longest(arm: ArmOutcome) -> RunResult | None:
    runs = [r for r in arm.screening.values() if r is not None and r.status != "diverged" and r.examples]
    return max(runs, key=lambda r: r.examples, default=None)


def _stored(run: RunResult | None, arm: ArmOutcome) -> int | None:
    """Bytes on disk: fp32 factors; full fine-tuning stores the model in 2 bytes a weight."""
    return run.trainable * (2 if arm.arm.method == "full" else 4) if run else None


def _ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None
