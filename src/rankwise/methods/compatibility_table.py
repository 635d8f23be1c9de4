"""What goes with what, computed from the traits that every choice declares (``adapters/compatibility.py``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rankwise.adapters import Adapter
from rankwise.adapters.allocation import ALLOCATIONS
from rankwise.adapters.compatibility import start_objection, storage_objection
from rankwise.adapters.events import EVENTS
from rankwise.adapters.freezing import Nothing, Only
from rankwise.adapters.inits import INITS, Init
from rankwise.adapters.optimizers import OPTIMIZERS
from rankwise.adapters.parametrizations import PARAMETRIZATIONS, Parametrization
from rankwise.adapters.penalties import PENALTIES
from rankwise.adapters.scalings import SCALINGS
from rankwise.adapters.storages import STORAGES, Storage
from rankwise.errors import UsageError

_D_OUT, _D_IN, _RANK = 10007, 10009, 101  # primes that name a dimension when they come back in a shape
_NAMES = {_D_OUT: "d_out", _D_IN: "d_in", _RANK: "r", 1: "1"}
_FREEZINGS = (Nothing(), Only(("A",)), Only(("B",)))
# Axes whose every choice can be had by name, with the adapter's field and whether an adapter can have several.
_BY_NAME: dict[str, tuple[str, Mapping[str, Any], bool]] = {
    "scaling": ("scaling", SCALINGS, False),
    "allocation": ("allocation", ALLOCATIONS, False),
    "optimizer": ("optimizer", OPTIMIZERS, False),
    "event": ("events", EVENTS, True),
    "penalty": ("penalties", PENALTIES, True),
}

_SINGLE = [field for field, _, several in _BY_NAME.values() if not several]


@dataclass(frozen=True)
class Pair:
    """Two choices on two axes; ``reason`` is empty when they go together."""

    parametrization: str
    axis: str
    choice: str
    reason: str

    @property
    def in_general(self) -> str:
        """The reason without the names of the two and what was found, so that equal reasons read alike."""
        general = self.reason.replace(f"parametrization {self.parametrization!r}", "the parametrization")
        general = general.replace(f"{self.axis} {self.choice!r}", f"the {self.axis}")
        return re.sub(r"[,;] found .*?(?=[,;] use |$)", "", general)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**self.__dict__, "composes": not self.reason}


def pairs() -> tuple[Pair, ...]:
    """Return every parametrization with every choice on the other axes, those of placement left out.

    A pair is judged with defaults on all other axes: the first init that can start the parametrization, no event.
    """
    found = []
    for parametrization in (make() for make in PARAMETRIZATIONS.values()):
        plain = example(parametrization)
        reasons: list[tuple[str, str, str]] = []
        reasons += [("init", i.name, start_objection(parametrization, i)) for i in (make() for make in INITS.values())]
        reasons += [("storage", s.name, storage_objection(parametrization, plain.init, s)) for s in _storages()]
        reasons += [(axis, name, _reason(plain, change)) for axis, name, change in _changes(plain)]
        found += [Pair(parametrization.name, *reason) for reason in reasons]
    return tuple(found)


def example(parametrization: Parametrization) -> Adapter:
    """Return an adapter of this parametrization with the first init that can start it, everything else by default."""
    size: dict[str, Any] = {} if parametrization.ranked else {"rank": 1, "alpha": 1.0}
    return Adapter(parametrization=parametrization, init=_some_start(parametrization), **size)


def alternatives(adapter: Adapter) -> dict[str, list[str]]:
    """Return by axis the other choices (events, penalties: further ones) that ``adapter`` could take, all else kept."""
    inits: list[tuple[str, str, dict[str, Any]]] = [("init", i().name, {"init": i()}) for i in INITS.values()]
    storages: list[tuple[str, str, dict[str, Any]]] = [("storage", s.name, {"storage": s}) for s in _storages()]
    has = {adapter.init.name, adapter.storage.name, *(getattr(adapter, axis).name for axis in _SINGLE)}
    has |= {choice.name for choice in (*adapter.events, *adapter.penalties)} | {
        adapter.freezing.describe() or "nothing"
    }
    found: dict[str, list[str]] = {}
    for axis, name, change in [*inits, *storages, *_changes(adapter)]:
        if name not in has and name != "nothing" and not _reason(adapter, change):
            found.setdefault(axis, []).append("any" if axis == "dropout" else name)
    return found


def shapes(adapter: Adapter) -> dict[str, str]:
    """Return the shape of every tensor of one layer as text, for instance ``{"A": "(r, d_in)"}``."""
    parametrization = adapter.parametrization.at("")
    if described := parametrization.described_shapes():
        return described
    every = parametrization.shapes(_D_OUT, _D_IN, _RANK)
    trains = adapter.freezing.trains(every)
    found = {name: _text(shape) + ("" if name in trains else ", frozen") for name, shape in every.items()}
    found |= {
        name: f"{_text(shape)}, frozen" for name, shape in parametrization.frozen_shapes(_D_OUT, _D_IN, _RANK).items()
    }
    common = parametrization.shared_shapes([(_D_OUT, _D_IN)], _RANK)
    fates = {name: "" if parametrization.trains_shared(name) else "frozen, " for name in common}
    return {**found, **{name: f"{_text(shape)}, {fates[name]}shared by all layers" for name, shape in common.items()}}


def _text(shape: tuple[int, ...]) -> str:
    inner = ", ".join(_NAMES.get(size, str(size)) for size in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def _storages() -> list[Storage]:
    return [make() for make in STORAGES.values()]


def _some_start(parametrization: Parametrization) -> Init:
    """Return the first init that can start it."""
    return next(i for i in (make() for make in INITS.values()) if not start_objection(parametrization, i))


def _changes(adapter: Adapter) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield axis, name and changed field of every choice that is made by name beside those of init and storage."""
    for freezing in _FREEZINGS:
        yield "freezing", freezing.describe() or freezing.name, {"freezing": freezing}
    yield "dropout", "0.1", {"dropout": 0.1}
    for axis, (field, registry, several) in _BY_NAME.items():
        for name, make in registry.items():
            yield axis, name, {field: (*getattr(adapter, field), make()) if several else make()}


def _reason(adapter: Adapter, change: Mapping[str, Any]) -> str:
    """Return why the adapter cannot be made with ``change``, or an empty string."""
    freezing = change.get("freezing", Nothing())
    absent = set(getattr(freezing, "factors", ())) - set(adapter.parametrization.at("").shapes(8, 8, adapter.rank))
    if absent:
        return f"parametrization {adapter.parametrization.name!r} has no factor of that name"
    try:
        Adapter(**{**adapter.__dict__, **change})
    except UsageError as error:
        return str(error).removesuffix(".")
    return ""
