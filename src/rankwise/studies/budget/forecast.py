"""What a study will take: packs, memory, operations and time, from a few real steps of its own model and data."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from rankwise.adapters import Full
from rankwise.engine import Forward, TrainSpec, evaluate
from rankwise.execution.packing import FULL_RATE, SplitSize, describe, memory_budget, plan_packs, run_cost
from rankwise.execution.progress import Progress
from rankwise.studies.budget.clock import step_seconds
from rankwise.studies.budget.plan import Timing, words
from rankwise.studies.config import StudyConfig
from rankwise.studies.running.setup import load_cell

SCORED = 16  # selection examples scored to time an evaluation


@dataclass(frozen=True)
class Forecast:
    """An estimate.

    Attributes:
        packs: of the runs that choose learning rates, as :func:`~.packing.describe` gives them.
        timing: what a step and an evaluation take here.
        seconds: of the whole study, loading, measuring and report included.
        flops: useful operations of training and evaluation, over all runs that are expected.
        budget: bytes that may be used.
    """

    packs: dict[str, Any]
    timing: Timing
    seconds: float
    flops: float
    budget: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        steps = {"reference_step_seconds": self.timing.reference_step, "adapter_step_seconds": self.timing.adapter_step}
        return {**self.packs, **steps, "seconds": self.seconds, "flops": self.flops, "memory_budget": self.budget}

    def lines(self, config: StudyConfig) -> list[str]:
        """Return it as sentences."""
        packs = self.packs["packs"]
        shared = [pack for pack in packs if pack["width"] > 1]
        runs = sum(len(pack["runs"]) for pack in shared)
        how = (
            f"{runs} of {self.packs['runs']} runs share passes, up to {max(p['width'] for p in shared)} at once"
            if shared
            else "every run fills its passes alone, so none share any"
        )
        fits = "" if self.packs["fits"] else ", more than this machine should give"
        return [
            f"Packs: {how}. Memory: about {self.packs['memory_bytes'] / 1e9:.1f} GB of {self.budget / 1e9:.0f} GB"
            f"{fits}.",
            f"A training step takes {self.timing.reference_step:.2g} s for {config.reference_words}, "
            f"{self.timing.adapter_step:.2g} s for an adapter; about {self.flops:.1e} useful operations and "
            f"{words(self.seconds)} in all on this machine.",
        ]


def forecast(config: StudyConfig, progress: Progress) -> Forecast:
    """Load model and data, train a few steps, and estimate; writes nothing.

    Raises:
        UsageError: the model or the data cannot be loaded.
    """
    started = time.monotonic()
    base, splits = load_cell(config, progress)
    loading = time.monotonic() - started
    base.model.eval()
    forward = Forward(base.model)
    reference, adapter = step_seconds(config, base, forward, splits)
    few = splits.selection[:SCORED]
    started = time.monotonic()
    evaluate(forward, few)
    per_token = (time.monotonic() - started) / sum(len(e.input_ids) for e in few)
    sizes = [SplitSize.of(split) for split in (splits.train, splits.selection, splits.test)]
    train, selection, test = sizes
    timing = Timing(reference, adapter, per_token * selection.work.tokens, per_token * test.work.tokens, load=loading)
    device = str(next(base.model.parameters()).device)
    wanted = [(arm, lr) for arm in config.arms for lr in config.learning_rates[arm.name]]
    specs = [config.train_spec(arm, lr, config.seed) for arm, lr in wanted]
    by_arm = {  # whatever the rate
        arm.name: run_cost(base.model, "", spec, train, [selection] * len(spec.eval_steps))
        for (arm, _), spec in zip(wanted, specs, strict=True)
        if config.learning_rates[arm.name][0] == spec.lr
    }
    costs = [replace(by_arm[arm.name], label=f"{arm.name} lr={lr:g}") for arm, lr in wanted]
    budget = memory_budget(device)
    packs = plan_packs(costs, budget, full_rate=FULL_RATE["cuda" if "cuda" in device else "cpu"])

    # The same expectation of runs, steps and evaluations, counted in operations.
    def operations(spec: TrainSpec) -> tuple[float, float, float]:
        once = run_cost(base.model, "", spec, train, [selection])
        tested = run_cost(base.model, "", spec, train, [test])
        return once.train_flops / spec.steps, float(once.evaluation_flops), float(tested.evaluation_flops)

    full = next(spec for (arm, _), spec in zip(wanted, specs, strict=True) if arm is config.reference_arm)
    other = next((spec for spec in reversed(specs) if not isinstance(spec.target, Full)), full)
    own, selected, tested = operations(other)
    counted = Timing(operations(full)[0], own, selected, tested, load=0.0)
    flops = counted.search(config) + config.expected_seeds * counted.seed(config)
    return Forecast(describe(packs), timing, loading + timing.study(config), flops, budget)
