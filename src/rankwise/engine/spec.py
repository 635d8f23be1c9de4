"""Everything that decides a run's numbers, in one frozen value; the ledger's run key is its hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from rankwise.adapters import Adapter, Full
from rankwise.errors import UsageError, unknown

SCHEDULES = ("constant", "linear", "cosine", "constant_with_warmup")


@dataclass(frozen=True)
class TrainSpec:
    """One run: what trains, how, on which order of examples.

    Args:
        target: an :class:`Adapter`, or :class:`Full` for full fine-tuning.
        lr: peak learning rate.
        steps: optimizer steps.
        batch: examples per optimizer step (the accumulation window; the last one of an epoch may be shorter).
        micro_batch: examples per pass. The window is sorted by length and cut into passes of this size, from this
            spec alone, so neighbors or free memory never change a bit.
        schedule: a name of ``transformers.get_scheduler``: constant, linear, cosine or constant_with_warmup.
        warmup: warm-up steps (constant has none).
        clip: largest gradient norm over this run's trainables; 0 switches clipping off.
        eval_steps: steps after which the selection split is scored; the last step always is.
        seed: seeds the adapter's start, its dropout and the order of examples.
        shuffle: False keeps the order of the data (for comparing with another trainer).

    Raises:
        UsageError: a value outside its range.
    """

    target: Adapter | Full
    lr: float
    steps: int
    batch: int = 8
    micro_batch: int = 8
    schedule: str = "constant"
    warmup: int = 0
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    clip: float = 1.0
    eval_steps: tuple[int, ...] = ()
    seed: int = 0
    shuffle: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "micro_batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, found {getattr(self, name)!r}.")
        if not 0 < self.lr < float("inf"):
            raise UsageError(f"the learning rate must be a positive number, found {self.lr!r}.")
        for name in ("warmup", "weight_decay", "clip"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"{name} must be 0 or more, found {getattr(self, name)!r}.")
        if self.schedule not in SCHEDULES:
            raise unknown("schedule", self.schedule, SCHEDULES)
        if self.warmup and self.schedule == "constant":
            raise UsageError("schedule 'constant' has no warm-up; use 'constant_with_warmup' or warmup 0.")
        for event in self.target.events:
            event.check_window(-(-self.batch // self.micro_batch))
        points = {step for step in self.eval_steps if 0 < step <= self.steps} | {self.steps}
        object.__setattr__(self, "eval_steps", tuple(sorted(points)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(replace(self, target=Full())), "target": self.target.to_dict()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> TrainSpec:
        """Build from :meth:`to_dict`'s form."""
        target = value["target"]
        built = Full() if target.get("method") == "full" else Adapter.from_dict(target)
        rest: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items() if k != "target"}
        return cls(target=built, **rest)
