"""A method's card: what the catalogue says about one published method."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from rankwise.adapters import Adapter, Full
from rankwise.errors import checked
from rankwise.methods.event_names import named_events
from rankwise.methods.rate_rule import RateRule


@dataclass(frozen=True)
class Card:
    """One published method as one choice per axis.

    Attributes:
        name: catalogue name: the paper's short name in snake_case.
        axes: what differs from LoRA, axis to choice.
        export_rank: rank of the exact plain-LoRA form, for instance ``"r"`` or ``"2r"``; ``"-"`` if there is none.
        fidelity: what the implementation is compared with, and how closely it agrees.
        owns_base: trains a private copy of the base.
        build: makes the spec from keyword options, and refuses one it does not take; it is ``rankwise.methods.NAME``.
            Beside the method's own it takes ``events``: what happens while training, after the method's own events.
        rates: where its search of learning rates starts, in studies and in ``rankwise train``, whatever its options;
            None: by its init and optimizer, times its parametrization's ``rate``.
    """

    name: str
    arxiv: str
    title: str
    axes: dict[str, str]
    formula: str
    merges: bool
    export_rank: str
    fidelity: str
    citation: str
    build: Callable[..., Adapter | Full]
    owns_base: bool = False
    rates: RateRule | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "build", checked(_with_events(self.build), f"method {self.name!r}"))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values (everything but the builder)."""
        stated = {} if self.rates is None else {"rates": asdict(self.rates)}
        return {k: v for k, v in self.__dict__.items() if k not in ("build", "rates")} | stated


def _with_events(build: Callable[..., Adapter | Full]) -> Callable[..., Adapter | Full]:
    """Return a method's builder that takes ``events`` too; one that makes no adapter stays as it is."""
    signature = inspect.signature(build)
    if signature.return_annotation in ("Full", Full):
        return build

    @functools.wraps(build)
    def built(*args: Any, events: Any = (), **options: Any) -> Adapter | Full:
        target, more = build(*args, **options), named_events(events)
        return replace(target, events=(*target.events, *more)) if more and isinstance(target, Adapter) else target

    events = inspect.Parameter("events", inspect.Parameter.KEYWORD_ONLY, default=())
    built.__signature__ = signature.replace(parameters=[*signature.parameters.values(), events])  # type: ignore[attr-defined]
    return built
