"""What an adapter costs on a model, beside full fine-tuning of it, before anything is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from rankwise.adapters import Adapter, Full
from rankwise.cost.blueprint import Blueprint
from rankwise.cost.calibrate import gemm_rate
from rankwise.cost.count import ModuleKind, adapter_parameters, adapter_products, kinds
from rankwise.cost.flops import Workload, adapter_flops, full_flops
from rankwise.cost.memory import PARTS, caps_logits, pass_bytes, state_bytes
from rankwise.cost.shape import ModelShape, model_shape
from rankwise.errors import UsageError
from rankwise.models.attention_pattern import WHOLE, AttentionPattern

MICRO_BATCH = 8  # examples per pass, as the studies do it


@dataclass(frozen=True)
class Plan:
    """How much is trained.

    Args:
        batch: examples per optimizer step.
        length: tokens per example, padding not counted.
        targets: of these, tokens in the loss.
        steps: optimizer steps.

    Raises:
        UsageError: a number below 1, or as many targets as tokens (the first token is never one).
    """

    batch: int = 8
    length: int = 256
    targets: int = 128
    steps: int = 60

    def __post_init__(self) -> None:
        for name in ("batch", "length", "targets", "steps"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} must be at least 1, found {getattr(self, name)}.")
        if self.targets >= self.length:
            raise UsageError(
                f"--targets must be below --length, because the first token is never in the loss; found {self.targets} "
                f"of {self.length}."
            )

    def work(self, attention: AttentionPattern = WHOLE) -> Workload:
        """Return what one optimizer step reads."""
        scores = self.batch * attention.scores(self.length)
        return Workload(self.batch * self.length, self.batch * self.targets, scores)

    @property
    def micro_batch(self) -> int:
        """Examples per pass."""
        return min(self.batch, MICRO_BATCH)


@dataclass(frozen=True)
class Side:
    """The cost of one thing that trains.

    Attributes:
        what: its formula.
        trainable: parameters that train.
        share: of the model's own parameters.
        memory: bytes by part; activations and logits are estimates.
        flops_per_step: useful operations of one optimizer step.
        disk_bytes: of what is saved at the end.
        seconds_per_step: operations over the measured matrix rate: a step cannot take less. None without calibration.
    """

    what: str
    trainable: int
    share: float
    memory: dict[str, int]
    flops_per_step: int
    disk_bytes: int
    seconds_per_step: float | None

    @property
    def memory_bytes(self) -> int:
        """All parts together."""
        return sum(self.memory.values())


@dataclass(frozen=True)
class Estimate:
    """The cost of an adapter (None when only full fine-tuning was asked for) beside full fine-tuning."""

    model: str
    parameters: int
    dtype: str
    plan: Plan
    kinds: tuple[ModuleKind, ...]
    adapter: Side | None
    full: Side
    gemm_flops_per_second: float | None
    notes: tuple[str, ...]

    @property
    def ratios(self) -> dict[str, float]:
        """Adapter over full fine-tuning; empty without an adapter."""
        if self.adapter is None:
            return {}
        return {
            "trainable": self.adapter.trainable / self.full.trainable,
            "memory": self.adapter.memory_bytes / self.full.memory_bytes,
            "flops": self.adapter.flops_per_step / self.full.flops_per_step,
            "disk": self.adapter.disk_bytes / self.full.disk_bytes,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        dumped = {**asdict(self), "ratios": self.ratios}
        for name, side in (("adapter", self.adapter), ("full", self.full)):
            if side is not None:
                seconds = side.seconds_per_step
                dumped[name]["memory_bytes"] = side.memory_bytes
                dumped[name]["flops"] = side.flops_per_step * self.plan.steps
                dumped[name]["seconds"] = None if seconds is None else seconds * self.plan.steps
        return dumped


def estimate(
    source: Blueprint, target: Adapter | Full, plan: Plan | None = None, *, calibrate_on: str | None = None
) -> Estimate:
    """Estimate the cost of training ``target`` and of full fine-tuning.

    Args:
        plan: how much is trained; the defaults of :class:`Plan` when left out.
        calibrate_on: device whose matrix rate is measured for about a second; None leaves times out.

    Raises:
        UsageError: the adapter does not fit the model.
    """
    plan = plan or Plan()
    model = source.model
    shape = model_shape(model)
    dtype = next(model.parameters()).dtype
    counts = adapter_parameters(model, target) if isinstance(target, Adapter) else {}
    rate = _rate(shape, plan, dtype, calibrate_on) if calibrate_on else None
    sides = [_side(source, shape, t, plan, rate) for t in (target, Full()) if t is target or t != target]
    return Estimate(
        model=source.name,
        parameters=shape.parameters,
        dtype=str(dtype).removeprefix("torch."),
        plan=plan,
        kinds=kinds(model, counts),
        adapter=sides[0] if isinstance(target, Adapter) else None,
        full=sides[-1],
        gemm_flops_per_second=rate,
        notes=(*source.notes, *_notes(source, plan)),
    )


def _side(source: Blueprint, shape: ModelShape, target: Adapter | Full, plan: Plan, rate: float | None) -> Side:
    model = source.model
    itemsize = next(model.parameters()).element_size()
    one = target.training_pass
    examples = plan.micro_batch * one.forwards
    tokens, targets = examples * plan.length, examples * plan.targets
    rows = tokens if caps_logits(model) else targets
    parts = {**state_bytes(model, target), **pass_bytes(model, shape, target, tokens, rows, itemsize)}
    if isinstance(target, Adapter):
        counts = adapter_parameters(model, target)
        trainable = sum(counts.values())
        edits = target.init.edits_base
        products = adapter_products(model, target) * (1 + edits)
        flops = one.forwards * adapter_flops(shape, plan.work(one.attention), list(counts), products)
        # Saved as plain LoRA of twice the rank beside what loads the very same factors again.
        disk = parts["adapter"] * (3 if edits else 1)
    else:
        trainable, flops, disk = shape.parameters, full_flops(shape, plan.work()), parts["trained copy"]
    return Side(
        what=repr(target),
        trainable=trainable,
        share=trainable / shape.parameters,
        memory={part: parts[part] for part in PARTS if parts.get(part)},
        flops_per_step=flops,
        disk_bytes=disk,
        seconds_per_step=flops / rate if rate else None,
    )


def _rate(shape: ModelShape, plan: Plan, dtype: torch.dtype, device: str) -> float:
    d_out, d_in = max(shape.linear.values(), key=lambda size: size[0] * size[1])
    return gemm_rate(plan.micro_batch * plan.length, d_in, d_out, dtype, device)


def _notes(source: Blueprint, plan: Plan) -> tuple[str, ...]:
    positions = getattr(source.model.config, "max_position_embeddings", None)
    if isinstance(positions, int) and plan.length > positions:
        return (f"The model was made for {positions} positions; examples of {plan.length} tokens are longer.",)
    return ()
