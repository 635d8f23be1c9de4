"""The other form of :mod:`rankwise.methods.loretta`: LoRETTA: Low-Rank Economic Tensor-Train Adaptation for
Ultra-Low-Parameter Fine-Tuning of Large Language Models, Yang et al., 2024, arXiv 2402.11417.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.parametrizations import TensorTrainBottleneck
from rankwise.adapters.placements import Placement
from rankwise.methods.bottleneck import bottleneck
from rankwise.methods.loretta import CARD as LORETTA


def loretta_adapter(
    rank: int = 64,
    placement: str | Placement | None = None,
    nonlinearity: Literal["gelu", "relu"] = "gelu",
    tensor_rank: int = 5,
) -> Adapter:
    """Return LoRETTA_adp: bottleneck adapters whose matrices are tensor trains; ``ln_tuning`` trains its norms.

    Args:
        tensor_rank: inner size of the trains.
    """
    form = TensorTrainBottleneck(nonlinearity, tensor_rank)
    return replace(bottleneck(rank, placement), parametrization=form)


CARD = replace(
    LORETTA,
    name="loretta_adapter",
    axes={
        "parametrization": "tensor-train-bottleneck",
        "init": "own",
        "scaling": "constant",
        "placement": "block-outputs",
    },
    formula="y = z + U act(D z + c) + u, z = W0 x, D and U tensor trains",
    merges=False,
    export_rank="-",
    fidelity=f"{LORETTA.fidelity}; the normalizations stay",
    build=loretta_adapter,
)
