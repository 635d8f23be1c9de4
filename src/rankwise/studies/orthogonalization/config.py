"""The study of orthogonalization events: what is compared, at which sizes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from rankwise.adapters import Adapter
from rankwise.adapters.events import Orthogonalize
from rankwise.adapters.penalties import RowOrthogonality
from rankwise.errors import UsageError, unknown
from rankwise.methods import lora
from rankwise.studies.config import MOST, RUNS, ColumnsSetting, Count, Seed, Strict

PRESET = "orthogonalization"
QUESTION = (
    "Why does the loss jump when LoRA is orthogonalized abruptly on small, repetitive data, and which event does not?"
)

# Name, label, kind of event, its options; the penalty acts at every step instead.
ARMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "none": ("No event", "measure", {}),
    "qr": ("QR on A and B", "qr", {}),
    "row-norm": ("L2 on A and B", "row_norm", {}),
    "row-norm-a": ("L2 on A only", "row_norm", {"columns": False}),
    "ema": ("EMA towards polar, no fold", "ema", {}),
    "gradual": ("Gradient step towards orthogonal rows", "gradual", {}),
    "row-norm-fold": ("Row L2 + fold", "row_norm_fold", {}),
    "qr-fold": ("QR + fold", "qr_fold", {}),
    "polar-fold": ("Polar + fold", "polar_fold", {}),
    "ema-fold": ("EMA + fold", "ema_fold", {}),
    "penalty": ("Soft penalty on A", "measure", {}),
}
KEEPS = ("none", "row-norm-fold", "qr-fold", "polar-fold", "ema-fold", "penalty")  # arms whose event keeps B A


class EventStudy(Strict):
    """Everything that decides the numbers.

    Attributes:
        arms: names of :data:`ARMS`, in the order of the table.
        duplications: how often each training example is repeated; the number of training examples stays, so x20 has a
            twentieth of the distinct ones.
        every: cadences, in optimizer steps.
        strength: share of the way of the partial events.
        penalty: weight of the soft penalty.
        sizes: training examples in all, and held-out ones.
        remembered: distinct training examples whose loss is measured at the end.
    """

    preset: str = PRESET
    scale: str
    model: str
    data: str = "word-problems:en"
    columns: ColumnsSetting = None
    arms: tuple[str, ...] = tuple(ARMS)
    duplications: tuple[int, ...] = (1, 5, 20)
    ranks: tuple[int, ...] = (8,)
    learning_rates: tuple[float, ...]
    every: tuple[int, ...]
    seeds: tuple[Seed, ...] = (0,)
    steps: Count
    batch: Count
    micro_batch: Count
    alpha: float = Field(default=32.0, gt=0)
    strength: float = Field(default=0.1, gt=0, le=0.5)
    penalty: float = Field(default=0.1, gt=0)
    clip: float = Field(default=1.0, ge=0)
    dtype: Literal["float32", "bfloat16"] = "float32"
    train: Count
    held_out: int = Field(ge=2, le=MOST)
    remembered: Count = 12
    max_length: int = Field(default=256, ge=8, le=MOST)
    placement: str = "all-linear"
    checkpoint_seconds: float = Field(default=30.0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> EventStudy:
        for name in self.arms:
            if name not in ARMS:
                raise unknown("arm", name, ARMS)
        for name in ("arms", "duplications", "ranks", "learning_rates", "every", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{name} must name at least one value, each once, found {list(values)}")
        crossed = (self.arms, self.duplications, self.ranks, self.learning_rates, self.every, self.seeds)
        if (runs := math.prod(map(len, crossed))) > RUNS:
            raise ValueError(
                f"its lists make {runs:,} runs, more than {RUNS:,}; shorten some, or ask in several studies"
            )
        if min(self.duplications) < 1 or max(self.duplications) > self.train:
            raise ValueError(f"duplications must be from 1 to the {self.train} training examples")
        if min(self.every) < 1 or max(self.every) > self.steps:
            raise ValueError(f"every must be from 1 to the {self.steps} steps, or no event would be seen")
        return self

    def adapter(self, arm: str, rank: int, every: int) -> Adapter:
        """Return what an arm trains."""
        _, kind, options = ARMS[arm]
        strength = {"strength": self.strength} if kind in ("ema", "ema_fold", "gradual") else {}
        event = Orthogonalize(kind, every, **{**options, **strength})
        extra = (RowOrthogonality(self.penalty),) if arm == "penalty" else ()
        plain = lora(rank=rank, alpha=self.alpha, placement=self.placement)
        return replace(plain, events=(event,), penalties=extra)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return self.model_dump(mode="json")


def arm_labels(config: EventStudy) -> list[str]:
    """Return its arms as people read them."""
    return [ARMS[name][0] for name in config.arms]


SIZES: dict[str, dict[str, Any]] = {
    # Seconds, on a random model: everything works, no more.
    "smoke": {
        "model": "tiny",
        "duplications": (1, 20),
        "learning_rates": (1e-2,),
        "every": (3,),
        "steps": 9,
        "batch": 4,
        "micro_batch": 4,
        "train": 40,
        "held_out": 8,
        "remembered": 8,
        "checkpoint_seconds": 0.0,
    },
    # About ten minutes on two CPU cores: one seed and few steps.
    "quick": {
        "model": "default",
        "learning_rates": (3e-3,),
        "every": (4,),
        "steps": 12,
        "batch": 2,
        "micro_batch": 2,
        "train": 40,
        "held_out": 16,
        "remembered": 8,
    },
    # Hours on a CPU, minutes on a GPU: 60 steps, three seeds.
    "tutorial": {
        "model": "default",
        "learning_rates": (1e-3, 3e-3),
        "ranks": (8, 32),
        "every": (5, 20),
        "seeds": (0, 1, 2),
        "steps": 60,
        "batch": 4,
        "micro_batch": 2,
        "train": 240,
        "held_out": 96,
        "remembered": 24,
    },
}


def resolve_events(scale: str, changes: dict[str, Any]) -> EventStudy:
    """Resolve the preset at a scale, with ``changes`` on top.

    Raises:
        UsageError: an unknown scale, setting or arm.
    """
    if scale not in SIZES:
        raise unknown("scale", scale, SIZES)
    values = {"scale": scale, **SIZES[scale], **changes}
    for name in ("duplications", "ranks", "learning_rates", "every", "seeds", "arms"):
        if name in values and not isinstance(values[name], list | tuple):
            values[name] = [values[name]]
    try:
        return EventStudy.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "study"
        if where == "method":
            raise UsageError(
                f"the arms of study {PRESET} are events themselves, so method cannot act in them; choose among them, "
                "such as --set 'arms=[none, qr]'."
            ) from None
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(EventStudy.model_fields))
            raise UsageError(f"study {PRESET} has no setting {where!r}; it has {known}.") from None
        raise UsageError(f"study setting {where}: {first['msg'].removeprefix('Value error, ')}.") from None
