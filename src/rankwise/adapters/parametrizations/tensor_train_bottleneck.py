"""A bottleneck whose two matrices are tensor trains: LoRETTA_adp, Yang et al., 2024, arXiv 2402.11417, section 3.2.

    y = z + s * (U act(D z + c) + u),  z = W0 x + bias     D: (rank, d_out) and U: (d_out, rank), trains of cores

Cores start as in :mod:`.tensor_train`, but the first core of U at zero: no change to the model. The paper trains the
normalizations too; attach ``ln_tuning`` beside it for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Factors, Host, Shapes, check_whole
from rankwise.adapters.parametrizations.bottleneck import Bottleneck
from rankwise.adapters.parametrizations.tensor_train import core_shapes, matrix, split


@dataclass(frozen=True)
class TensorTrainBottleneck(Bottleneck):
    """Down and up are tensor trains."""

    name: ClassVar[str] = "tensor-train-bottleneck"
    rate: ClassVar[float] = 3.0
    tensor_rank: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, tensor_rank=self.tensor_rank)

    def _cores(self, d_out: int, rank: int) -> dict[str, Shapes]:
        return {side: core_shapes(side, (*split(d_out), rank), self.tensor_rank) for side in "DU"}

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Return the cores of D (D1, D2, ...) and of U (U1, U2, ...), and both biases."""
        cores = self._cores(d_out, rank)
        return cores["D"] | cores["U"] | {"c": (rank,), "u": (d_out,)}

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw the cores but the first of U."""
        d_out, _ = host.size
        found: dict[str, Tensor] = {"c": host.zeros(rank), "u": host.zeros(d_out)}
        for cores in self._cores(d_out, rank).values():
            std = (1 / (d_out + rank)) ** (0.5 / len(cores)) / self.tensor_rank**0.5
            found |= {name: host.normal(generator, std, *shape) for name, shape in cores.items()}
        return {**found, "U1": torch.zeros_like(found["U1"])}

    def matrices(self, factors: Factors) -> tuple[Tensor, Tensor]:
        """Contract the trains."""
        rank = len(factors["c"])
        return matrix(factors, "D", rank), matrix(factors, "U", rank).T
