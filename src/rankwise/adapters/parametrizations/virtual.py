"""Virtual tokens in front of every sequence: what prompt tuning and prefix tuning have in common.

The model is given ``tokens`` placeholders in front (:mod:`rankwise.adapters.virtual_tokens`); a layer that carries one
of these parametrizations puts its trained rows in the placeholders' places, or adds them there, and leaves every other
row alone. Nothing merges: a prompt is no change of any weight.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from rankwise.adapters.parametrizations.base import Drop, Factors, Host, Parametrization, Shapes, check_whole


@dataclass(frozen=True)
class Virtual(Parametrization, abc.ABC):
    """P: (tokens, d_out) for the first rows of a layer's output."""

    kind: ClassVar[Literal["prompt"]] = "prompt"
    needs: ClassVar[frozenset[str]] = frozenset()
    ranked: ClassVar[bool] = False
    drops: ClassVar[bool] = False
    not_merged: ClassVar[str] = "it is a prompt, which changes no weight"
    replaces: ClassVar[bool] = True
    """P stands in the place of what the placeholders have, else it is added to that."""
    tokens: int = 20

    def __post_init__(self) -> None:
        check_whole(self, tokens=self.tokens)

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """tokens * d_out parameters."""
        return {"P": (self.tokens, d_out)}

    def rows(self, factors: Factors) -> Tensor:
        """Return P (tokens, d_out)."""
        return factors["P"]

    def update(self, x: Tensor, factors: Factors, start: Factors, drop: Drop, host: Host) -> Tensor:
        """Return P - y for the placeholders (with y it is P), or P; zero for every other row."""
        y = host.output(x)
        P = self.rows(factors).to(y.dtype).expand(len(y), -1, -1)
        update = y.new_zeros(y.shape)
        update[:, : self.tokens] = P - y[:, : self.tokens] if self.replaces else P
        return update
