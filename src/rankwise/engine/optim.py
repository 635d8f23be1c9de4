"""The optimizer and the schedule of one run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rankwise.adapters import Adapter
from rankwise.adapters.optimizers import AdamW
from rankwise.engine.spec import TrainSpec


def make_optimizer(parameters: dict[str, nn.Parameter], spec: TrainSpec) -> torch.optim.Optimizer:
    """AdamW at the rates of the adapter's optimizer axis.

    Weight decay, when asked for, is on matrices only (no norms, no biases), as Trainer does.
    """
    choice = spec.target.optimizer if isinstance(spec.target, Adapter) else AdamW()
    groups = choice.groups(parameters, spec.lr, spec.weight_decay)
    return torch.optim.AdamW(groups, lr=spec.lr, betas=spec.betas, eps=spec.eps, fused=True)


def make_schedule(optimizer: torch.optim.Optimizer, spec: TrainSpec) -> Any:
    """The schedule of transformers, over this run's own steps."""
    from transformers import get_scheduler

    return get_scheduler(spec.schedule, optimizer, num_warmup_steps=spec.warmup, num_training_steps=spec.steps)
