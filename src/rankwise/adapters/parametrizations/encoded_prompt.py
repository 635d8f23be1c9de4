"""P-tuning: GPT Understands, Too, Liu et al., 2021, arXiv 2103.10385, section 3.

    the input is  [P; embedded tokens],  P = H3 relu(H2 relu(H1 E + h1) + h2) + h3, row by row
    E: (tokens, width), H1: (hidden, width), H2: (hidden, hidden), H3: (width, hidden), each with its bias

On the table of input embeddings: a soft prompt whose rows a small network makes, so that they move together. The
network trains and acts along, and is kept: training goes on where it stopped. E starts N(0, 1), the network as torch's
linear layers do.

Deviations: all virtual tokens stand in front (the paper's pattern places them around the text); the network is the
multi-layer perceptron that PEFT recommends, without the recurrent layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear, relu

from rankwise.adapters.parametrizations.base import Factors, Host, Shapes, check_whole
from rankwise.adapters.parametrizations.virtual import Virtual


@dataclass(frozen=True)
class EncodedPrompt(Virtual):
    """Embeddings in front of the input, made by a small network.

    Args:
        hidden: width of the network; None: the model's own.
    """

    name: ClassVar[str] = "encoded-prompt"
    only_tables: ClassVar[bool] = True
    hidden: int | None = None

    def __post_init__(self) -> None:
        check_whole(self, tokens=self.tokens, **({} if self.hidden is None else {"hidden": self.hidden}))

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """tokens d_out + 2 hidden d_out + hidden^2 + 2 hidden + d_out parameters."""
        hidden = d_out if self.hidden is None else self.hidden
        return {
            "E": (self.tokens, d_out),
            **{"H1": (hidden, d_out), "h1": (hidden,)},
            **{"H2": (hidden, hidden), "h2": (hidden,)},
            **{"H3": (d_out, hidden), "h3": (d_out,)},
        }

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw all of them."""
        shapes = self.shapes(*host.size, rank)
        found = {"E": host.normal(generator, 1.0, *shapes["E"])}
        for i in "123":
            bound = shapes[f"H{i}"][1] ** -0.5
            found |= {name: host.uniform(generator, bound, *shapes[name]) for name in (f"H{i}", f"h{i}")}
        return found

    def multiplied(self, shapes: Shapes) -> int:
        """The rows: the network runs once a pass, not once a token."""
        return prod(shapes["E"])

    def rows(self, factors: Factors) -> Tensor:
        """Return P (tokens, width)."""
        h = relu(linear(factors["E"], factors["H1"], factors["h1"]))
        h = relu(linear(h, factors["H2"], factors["h2"]))
        return linear(h, factors["H3"], factors["h3"])

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted output as text."""
        return f"[P; W0 x], P {self.tokens} rows that a small network makes"
