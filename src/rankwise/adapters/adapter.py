"""The frozen specification of an adapter: one choice per axis (docs/design/methods.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rankwise.adapters.allocation import ALLOCATIONS, Allocation, Uniform
from rankwise.adapters.axis import resolve
from rankwise.adapters.compatibility import event_objection, objection
from rankwise.adapters.events import EVENTS, Event
from rankwise.adapters.freezing import FREEZING, Freezing, Nothing
from rankwise.adapters.inits import INITS, Init, Kaiming
from rankwise.adapters.optimizers import OPTIMIZERS, AdamW, Optimizer
from rankwise.adapters.parametrizations import PARAMETRIZATIONS, LowRank, Parametrization, Shapes
from rankwise.adapters.penalties import PENALTIES, Penalty
from rankwise.adapters.placements import PLACEMENTS, AllLinear, Placement
from rankwise.adapters.scalings import SCALINGS, AlphaOverRank, Scaling
from rankwise.adapters.storages import STORAGES, AsIs, Storage
from rankwise.adapters.training_pass import TrainingPass
from rankwise.errors import UsageError
from rankwise.models.attention_pattern import WHOLE

_AXES: dict[str, Mapping[str, Any]] = {
    "parametrization": PARAMETRIZATIONS,
    "init": INITS,
    "scaling": SCALINGS,
    "placement": PLACEMENTS,
    "optimizer": OPTIMIZERS,
    "freezing": FREEZING,
    "storage": STORAGES,
    "allocation": ALLOCATIONS,
}
_KINDS = {
    "parametrization": Parametrization,
    "init": Init,
    "scaling": Scaling,
    "placement": Placement,
    "optimizer": Optimizer,
    "freezing": Freezing,
    "storage": Storage,
    "allocation": Allocation,
}
# Written only when chosen: the keys of runs from before these axes existed must not move.
_LATER: dict[str, Any] = {"freezing": Nothing(), "storage": AsIs(), "allocation": Uniform()}
_MANY: dict[str, tuple[type[Any], Mapping[str, Any]]] = {"events": (Event, EVENTS), "penalties": (Penalty, PENALTIES)}


@dataclass(frozen=True, repr=False)
class Adapter:
    """A hashable, serializable value; no tensor exists until :func:`rankwise.attach`.

    Args:
        rank: inner dimension, at least 1. Above min(d_in, d_out) it is an error only where the init needs it.
        alpha: numerator of the scaling. 32 at every rank is the convention of "LoRA Without Regret".
        dropout: probability in [0, 1) of dropping an input of the adapter path during training.
        events: what happens during training, in this order at every moment.
        penalties: what the loss adds.

    Raises:
        UsageError: an illegal value or combination, naming the parameter, the requirement and the value found.
    """

    rank: int = 16
    alpha: float = 32.0
    parametrization: Parametrization = field(default_factory=LowRank)
    init: Init = field(default_factory=Kaiming)
    scaling: Scaling = field(default_factory=AlphaOverRank)
    placement: Placement = field(default_factory=AllLinear)
    dropout: float = 0.0
    optimizer: Optimizer = field(default_factory=AdamW)
    freezing: Freezing = field(default_factory=Nothing)
    storage: Storage = field(default_factory=AsIs)
    allocation: Allocation = field(default_factory=Uniform)
    events: tuple[Event, ...] = ()
    penalties: tuple[Penalty, ...] = ()

    def __post_init__(self) -> None:
        for axis, kind in _KINDS.items():
            if not isinstance(value := getattr(self, axis), kind):
                example = next(iter(_AXES[axis].values())).__name__
                raise UsageError(
                    f"{axis} must be of class {kind.__name__}, such as {example}(), found {value!r}; "
                    "names are understood by rankwise.methods.build and Adapter.from_dict."
                )
        for number in ("alpha", "dropout"):
            value = getattr(self, number)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise UsageError(f"{number} must be a number, found {value!r}.")
            object.__setattr__(self, number, float(value))  # 32 and 32.0 are one adapter, with one run key
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise UsageError(f"rank must be a whole number of at least 1, found {self.rank!r}.")
        if not 0 < self.alpha < float("inf"):
            raise UsageError(f"alpha must be a positive number, found {self.alpha!r}.")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout must be in [0, 1), found {self.dropout!r}.")
        if not self.parametrization.ranked and (self.rank != 1 or self.s != 1):
            raise UsageError(
                f"parametrization {self.parametrization.name!r} has no rank and no scale; use rank 1, alpha 1, found "
                f"rank {self.rank}, scale {self.s:g}."
            )
        if reason := objection(self.parametrization, self.init, self.storage, self.freezing, self.dropout):
            raise UsageError(f"{reason}.")
        if self.allocation != Uniform() and (self.init.needs_data or not self.parametrization.ranked):
            raise UsageError(
                f"allocation {self.allocation.name!r} shares out rank, which parametrization "
                f"{self.parametrization.name!r} with init {self.init.name!r} does not leave to it; use 'uniform'."
            )
        shapes = self.parametrization.at("").shapes(8, 8, self.rank)
        trains = self.freezing.trains(shapes)
        if reason := self.optimizer.check(shapes, {name: s for name, s in shapes.items() if name in trains}):
            raise UsageError(f"optimizer {self.optimizer.name!r} {reason}.")
        for axis, (kind, _) in _MANY.items():
            for choice in (choices := tuple(getattr(self, axis))):
                if not isinstance(choice, kind):
                    raise UsageError(f"{axis} must hold objects of class {kind.__name__}, found {choice!r}.")
                if isinstance(choice, Event) and (reason := event_objection(self, choice)):
                    raise UsageError(f"{reason}.")
                choice.check(self)
            object.__setattr__(self, axis, choices)  # a list would not hash

    def trained_shapes(self, module: str, d_out: int, d_in: int, rank: int | None = None) -> Shapes:
        """Return the shape of every tensor that trains on the (d_out, d_in) layer of this dotted name, by name.

        Args:
            rank: of that layer, when it is not the adapter's.
        """
        shapes = self.parametrization.at(module).shapes(d_out, d_in, self.rank if rank is None else rank)
        trains = self.freezing.trains(shapes)
        return {name: shape for name, shape in shapes.items() if name in trains}

    @property
    def s(self) -> float:
        """The effective scale in ``W = W0 + s * delta``."""
        return self.scaling.factor(self.alpha, self.rank)

    @property
    def training_pass(self) -> TrainingPass:
        """What its events make of a pass of training."""
        attention = next((event.attention for event in self.events if event.attention != WHOLE), WHOLE)
        return TrainingPass(attention, max((event.forwards for event in self.events), default=1))

    @property
    def owns_base(self) -> bool:
        """Whether an event writes the weights under it."""
        return any(event.owns_base for event in self.events)

    @property
    def front(self) -> int:
        """Virtual tokens that it puts in front of every sequence."""
        return int(getattr(self.parametrization, "tokens", 0)) if self.parametrization.kind == "prompt" else 0

    @property
    def formula(self) -> str:
        """The adapted weight as text with its numbers, for instance ``W0 + (32/16) B A``."""
        scale = self.scaling.formula(self.alpha, self.rank)
        return self.parametrization.weight_formula(scale, self.init.edits_base)

    def __repr__(self) -> str:
        extra = f", dropout {self.dropout:g}" if self.dropout else ""
        extra += f", {rates}" if (rates := self.optimizer.describe()) else ""
        extra += f", {frozen}" if (frozen := self.freezing.describe()) else ""
        extra += f", {ranks}" if (ranks := self.allocation.describe()) else ""
        extra += f", W0 in {self.storage.name}" if self.storage.quantizes else ""
        extra += "".join(f", {event.describe()}" for event in self.events)
        extra += "".join(f", {penalty.describe()}" for penalty in self.penalties)
        rank = f", rank {self.rank}" if self.parametrization.ranked else ""
        side = "W" if self.parametrization.kind == "delta" else "y"
        return f"{side} = {self.formula}{rank}, init {self.init.name}, on {self.placement.describe()}{extra}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values from which :meth:`from_dict` builds an equal adapter."""
        default = {axis for axis, value in _LATER.items() if getattr(self, axis) == value}
        axes = {axis: getattr(self, axis).to_dict() for axis in _AXES if axis not in default}
        # Only when there are any: an adapter without them keeps the form, and the run key, that it always had.
        many = {axis: [c.to_dict() for c in getattr(self, axis)] for axis in _MANY if getattr(self, axis)}
        return {"rank": self.rank, "alpha": self.alpha, "dropout": self.dropout, **axes, **many}

    @classmethod
    def from_dict(cls, spec: Mapping[str, Any]) -> Adapter:
        """Build from :meth:`to_dict`'s form; a name stands for a choice with default options.

        A missing axis takes its default, so that a spec written before the axis existed still means what it meant.

        Raises:
            UsageError: an unknown key, axis choice or option.
        """
        known = {"rank", "alpha", "dropout", *_AXES, *_MANY}
        if extra := sorted(set(spec) - known):
            raise UsageError(f"an adapter has no {extra[0]!r}; it takes {', '.join(sorted(known))}.")
        values = {k: resolve(k, _AXES[k], v) if k in _AXES else v for k, v in spec.items()}
        for axis, (_, registry) in _MANY.items():
            values[axis] = tuple(resolve(axis, registry, choice) for choice in spec.get(axis, ()))
        return cls(**values)
