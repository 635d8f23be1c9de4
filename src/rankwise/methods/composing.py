"""What goes with what, computed from the traits that every choice declares (``adapters/compatibility.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rankwise.adapters import Adapter
from rankwise.adapters.compatibility import (
    dropout_objection,
    freezing_objection,
    start_objection,
    storage_objection,
)
from rankwise.adapters.freezing import Freezing, Nothing, Only
from rankwise.adapters.inits import INITS, Init
from rankwise.adapters.parametrizations import PARAMETRIZATIONS, Parametrization
from rankwise.adapters.storages import STORAGES, Storage
from rankwise.errors import UsageError

_D_OUT, _D_IN, _RANK = 10007, 10009, 101  # primes that name a dimension when they come back in a shape
_NAMES = {_D_OUT: "d_out", _D_IN: "d_in", _RANK: "r", 1: "1"}


@dataclass(frozen=True)
class Pair:
    """Two choices on two axes; ``reason`` is empty when they go together."""

    parametrization: str
    axis: str
    choice: str
    reason: str

    @property
    def in_general(self) -> str:
        """The reason without the names of the two, so that equal reasons read alike."""
        general = self.reason.replace(f"parametrization {self.parametrization!r}", "the parametrization")
        return general.replace(f"{self.axis} {self.choice!r}", f"the {self.axis}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**self.__dict__, "composes": not self.reason}


def pairs() -> tuple[Pair, ...]:
    """Return every parametrization with every init, storage, freezing and dropout."""
    found = []
    for parametrization in (make() for make in PARAMETRIZATIONS.values()):
        start = _some_start(parametrization)
        reasons: list[tuple[str, str, str]] = []
        reasons += [("init", i.name, start_objection(parametrization, i)) for i in (make() for make in INITS.values())]
        reasons += [("storage", s.name, storage_objection(parametrization, start, s)) for s in _storages()]
        reasons += [
            ("freezing", f.describe() or f.name, _freezing(parametrization, start, f))
            for f in (Nothing(), Only(("A",)), Only(("B",)))
        ]
        reasons.append(("dropout", "0.1", dropout_objection(parametrization, start, 0.1)))
        found += [Pair(parametrization.name, *reason) for reason in reasons]
    return tuple(found)


def alternatives(adapter: Adapter) -> dict[str, list[str]]:
    """Return by axis the other choices that ``adapter`` could take, everything else as it is."""
    inits = [make() for make in INITS.values()]
    found = {
        "init": [i.name for i in inits if i.name != adapter.init.name and not _objects(adapter, {"init": i})],
        "storage": [
            s.name for s in _storages() if s.name != adapter.storage.name and not _objects(adapter, {"storage": s})
        ],
        "freezing": [
            f.describe()
            for f in (Only(("A",)), Only(("B",)))
            if f != adapter.freezing and not _objects(adapter, {"freezing": f})
        ],
        "dropout": [] if _objects(adapter, {"dropout": 0.1}) else ["any"],
    }
    return {axis: names for axis, names in found.items() if names}


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


def _freezing(parametrization: Parametrization, init: Init, freezing: Freezing) -> str:
    try:
        return freezing_objection(parametrization, init, freezing)
    except UsageError as error:  # it has no such factor
        return str(error)


def _objects(adapter: Adapter, change: Mapping[str, Any]) -> bool:
    """Return whether the adapter cannot be made with ``change``."""
    try:
        Adapter(**{**adapter.__dict__, **change})
    except UsageError:
        return True
    return False
