"""What the methods that train a layer's own vectors share: to every number of the base a trained one is added."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar, Literal

from rankwise.adapters.parametrizations.base import Parametrization


@dataclass(frozen=True)
class Shift(Parametrization, abc.ABC):
    """Differences from the base's values, which are copied on write in this way; no rank and no scale."""

    kind: ClassVar[Literal["overlay"]] = "overlay"
    rate: ClassVar[float] = 3.0
    needs: ClassVar[frozenset[str]] = frozenset()
    ranked: ClassVar[bool] = False
    drops: ClassVar[bool] = False
    lookup: ClassVar[bool] = False
    on_vectors: ClassVar[bool] = True
