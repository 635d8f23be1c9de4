"""What every case shares: the base, the examples, our runs. Same examples in the same order for every peer."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from rankwise.adapters import Adapter, Full
from rankwise.cost import adapter_flops, evaluation_flops, full_flops, model_shape
from rankwise.data import Encoded, Limits, Splits, load_data
from rankwise.engine import Forward, TrainSpec
from rankwise.engine.batches import window, workload
from rankwise.engine.train import Run
from rankwise.methods import lora
from rankwise.models import Base, load_base

Step = Callable[[], object]
BATCH = 16
EVALUATED = 16


@dataclass(frozen=True)
class Setting:
    """One base and one data set, loaded once."""

    base: Base
    splits: Splits
    forward: Forward
    arguments: tuple[str, ...]  # of run.py, for a process of its own

    def window(self, spec: TrainSpec, step: int) -> list[Encoded]:
        """Return the examples of one optimizer step."""
        return [self.splits.train[i] for i in window(spec, len(self.splits.train), step)]

    def ours(self, spec: TrainSpec) -> tuple[Step, Run]:
        """Return our training step."""
        run = Run(self.base, self.forward, spec, self.splits)
        return run.train_step, run

    def flops(self, spec: TrainSpec, step: int) -> int:
        """Return the useful operations of a step (docs/design/engine.md#operations)."""
        shape, work = model_shape(self.base.model), workload(self.window(spec, step))
        if isinstance(spec.target, Full):
            return full_flops(shape, work)
        products = spec.target.rank * sum(d_out + d_in for d_out, d_in in shape.linear.values())
        return adapter_flops(shape, work, list(shape.linear), products)

    def evaluation_flops(self, spec: TrainSpec) -> int:
        """Return the useful operations of scoring the selection split with the adapter of ``spec`` on."""
        shape = model_shape(self.base.model)
        assert isinstance(spec.target, Adapter)
        products = spec.target.rank * sum(d_out + d_in for d_out, d_in in shape.linear.values())
        return evaluation_flops(shape, workload(self.splits.selection), products)


def load(model: str | None, data: str) -> Setting:
    """Load the base in bf16 and the examples of up to 512 tokens."""
    base = load_base(model) if model else load_base()
    splits = load_data(data, base.tokenizer, limits=Limits(BATCH * 8, EVALUATED, 1), max_length=512)
    base.model.eval()
    arguments = (*(("--model", model) if model else ()), "--data", data)
    return Setting(base, splits, Forward(base.model), arguments)


def lora_spec(rank: int = 64, steps: int = 8) -> TrainSpec:
    """LoRA on all linear layers, 16 examples a step."""
    return TrainSpec(lora(rank=rank), lr=1e-3, steps=steps, batch=BATCH, micro_batch=8)


def full_spec(steps: int = 8) -> TrainSpec:
    """Full fine-tuning of the same examples."""
    return replace(lora_spec(steps=steps), target=Full(), lr=1e-4)


def threads() -> int:
    """Use every core."""
    torch.set_num_threads(os.cpu_count() or 1)
    return torch.get_num_threads()
