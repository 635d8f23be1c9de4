"""The optimizer and the schedule of one run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from rankwise.adapters import Adapter, Handle
from rankwise.adapters.events import Rate
from rankwise.adapters.optimizers import AdamW
from rankwise.engine.spec import TrainSpec
from rankwise.models.quiet import without_kernel_notice


def make_optimizer(parameters: dict[str, nn.Parameter], spec: TrainSpec) -> torch.optim.Optimizer:
    """AdamW at the rates of the adapter's optimizer axis.

    Weight decay, when asked for, is on matrices only (no norms, no biases), as Trainer does.
    """
    choice = spec.target.optimizer if isinstance(spec.target, Adapter) else AdamW()
    groups = choice.groups(parameters, spec.lr, spec.weight_decay)
    return choice.make(groups, spec.lr, spec.betas, spec.eps, spec.steps)


def renewal(optimizer: torch.optim.Optimizer, spec: TrainSpec, step: int) -> dict[str, Any] | None:
    """Return the record of what step ``step`` renewed in the optimizer itself, as an event writes one; None: nothing.

    ``renewed`` counts matrices, ``subspace_kept`` is the mean share of the old subspace that the new one has.
    """
    shared = getattr(optimizer, "shared", [])
    if not shared or not isinstance(spec.target, Adapter):
        return None
    name = spec.target.optimizer.name
    return {
        "event": name,
        "step": step,
        "moment": "optimizer_step",
        "renewed": len(shared),
        "subspace_kept": sum(shared) / len(shared),
    }


def precondition(handle: Handle) -> None:
    """Replace the gradients by those that the adapter's optimizer choice steps with; most leave them as they are."""
    choice = handle.adapter.optimizer
    if not choice.preconditions:
        return
    with torch.no_grad():
        for slot in handle.slots.values():
            gradients = {name: p.grad for name, p in slot.trained.items() if p.grad is not None}
            factors = {name: value.detach() for name, value in slot.factors.items()}
            for name, value in choice.precondition(factors, gradients, slot.scaling).items():
                gradients[name].copy_(value)


def make_schedule(optimizer: torch.optim.Optimizer, spec: TrainSpec) -> Any:
    """The schedule of transformers, over this run's own steps."""
    with without_kernel_notice():
        from transformers import get_scheduler

    return get_scheduler(spec.schedule, optimizer, num_warmup_steps=spec.warmup, num_training_steps=spec.steps)


def make_rate(schedule: str, warmup: int) -> Rate:
    """Return the same schedule as a function: from (steps taken, steps in all) to the factor of the learning rate."""
    with without_kernel_notice():
        from transformers import get_scheduler

    def of_length(steps: int) -> Callable[[int], float]:
        unused = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        made: Any = get_scheduler(schedule, unused, num_warmup_steps=warmup, num_training_steps=steps)
        return made.lr_lambdas[0]

    lengths: dict[int, Callable[[int], float]] = {}

    def rate(step: int, steps: int) -> float:
        if steps not in lengths:
            lengths[steps] = of_length(steps)
        return float(lengths[steps](step))

    return rate
