"""LoRETTA: Low-Rank Economic Tensor-Train Adaptation for Ultra-Low-Parameter Fine-Tuning of Large Language Models, Yang
et al., 2024, arXiv 2402.11417.
"""

from __future__ import annotations

from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import TensorTrainBottleneck
from rankwise.adapters.placements import BlockOutputs, Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placing import placement as place


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
    return Adapter(
        rank=rank,
        alpha=1.0,
        parametrization=TensorTrainBottleneck(nonlinearity, tensor_rank),
        init=Own(),
        scaling=Constant(),
        placement=BlockOutputs() if placement is None else place(placement),
    )


CARD = Card(
    name="loretta_adapter",
    arxiv="2402.11417",
    title="LoRETTA: Low-Rank Economic Tensor-Train Adaptation for Ultra-Low-Parameter Fine-Tuning of Large Language "
    "Models",
    axes={
        "parametrization": "tensor-train-bottleneck",
        "init": "own",
        "scaling": "constant",
        "placement": "block-outputs",
    },
    formula="y = z + U act(D z + c) + u, z = W0 x, D and U tensor trains",
    merges=False,
    export_rank="-",
    fidelity="agrees with the authors' published formula and code facts; the normalizations stay",
    citation="""@article{yang2024loretta,
  title={LoRETTA: Low-Rank Economic Tensor-Train Adaptation for Ultra-Low-Parameter Fine-Tuning of Large Language Models},
  author={Yang, Yifan and Zhou, Jiajun and Wong, Ngai and Zhang, Zheng},
  journal={arXiv preprint arXiv:2402.11417},
  year={2024}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=loretta_adapter,
)
