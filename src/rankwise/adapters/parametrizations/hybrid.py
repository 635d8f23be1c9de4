"""Three families at once, the hybrid class of Parameter-Efficient Fine-Tuning for Large Models: A Comprehensive Survey,
Han et al., 2024, arXiv 2403.14608.

    queries, keys, values    y = W0 x + s B A x                            A: (rank, d_in), B: (d_out, rank)
    end of the MLP           y = z + U act(D z + c) + u,  z = W0 x         D: (width, d_out), U: (d_out, width)
    in front of the input    [P; embedded tokens]                          P: (tokens, d_model)

LoRA as in 2106.09685, a small network as in 1902.00751 (scale 1 and a width of its own), rows as in 2104.08691.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from torch import Tensor

from rankwise.adapters.parametrizations.base import Drop, Factors, Host, Parametrization, Shapes, check_whole
from rankwise.adapters.parametrizations.bottleneck import Bottleneck
from rankwise.adapters.parametrizations.composite import Composite, OwnLowRank
from rankwise.adapters.parametrizations.soft_prompt import SoftPrompt
from rankwise.models.structure import LAST_PROJECTION, QUERY_KEY_VALUE

_QKV, _MLP, _FRONT = "q, k, v", "MLP", "input"


@dataclass(frozen=True)
class Sized(Bottleneck):
    """A bottleneck as a part: its width is its own, and LoRA's scale is not its."""

    width: int = 64

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """2 width d_out + width + d_out parameters."""
        return super().shapes(d_out, d_in, self.width)

    def update(self, x: Tensor, factors: Factors, start: Factors, drop: Drop, host: Host) -> Tensor:
        """Return U act(D z + c) + u."""
        return super().update(x, factors, start, drop, replace(host, scaling=1.0))


@dataclass(frozen=True)
class Hybrid(Composite):
    """LoRA in attention, a bottleneck after the MLP, a soft prompt.

    Args:
        width: of the bottleneck.
        tokens: rows in front of the input.
        nonlinearity: of the bottleneck.
    """

    name: ClassVar[str] = "hybrid"
    kind: ClassVar[Literal["prompt"]] = "prompt"
    not_merged: ClassVar[str] = "of its parts only LoRA changes weights, the network and the prompt do not"
    width: int = 64
    tokens: int = 20
    nonlinearity: Literal["gelu", "relu"] = "gelu"

    def __post_init__(self) -> None:
        check_whole(self, width=self.width, tokens=self.tokens)
        self.parts()  # the nonlinearity is checked by the part that has it

    def parts(self) -> Mapping[str, Parametrization]:
        """Return LoRA, the bottleneck and the prompt."""
        return {
            _QKV: OwnLowRank(),
            _MLP: Sized(self.nonlinearity, self.width),
            _FRONT: SoftPrompt(self.tokens),
        }

    def place(self, module: str) -> str:
        """Tell by the module's own name; what is neither attention's nor the MLP's end must be the embeddings."""
        if QUERY_KEY_VALUE.search(module):
            return _QKV
        return _MLP if LAST_PROJECTION.search(module) else _FRONT

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the three as text."""
        small = f"U {self.nonlinearity}(D z + c) + u"
        return f"W0 x + {scale} B A x on q, k, v; z + {small}, z = W0 x, after the MLP; [P; W0 x] at the input"
