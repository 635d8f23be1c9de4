"""LoRETTA: Low-Rank Economic Tensor-Train Adaptation for Ultra-Low-Parameter Fine-Tuning of Large Language Models, Yang
et al., 2024, arXiv 2402.11417.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import TensorTrain
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def loretta(
    rank: int = 8,
    alpha: float = 16.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    tensor_rank: int = 5,
) -> Adapter:
    """Return LoRETTA_rep: LoRA whose A and B are tensor trains, W = W0 + (alpha / rank) (B A - B_0 A_0).

    Args:
        tensor_rank: inner size of the trains.
    """
    return replace(lora(rank, alpha, placement, dropout), parametrization=TensorTrain(tensor_rank), init=Own())


CARD = Card(
    name="loretta",
    arxiv="2402.11417",
    title="LoRETTA: Low-Rank Economic Tensor-Train Adaptation for Ultra-Low-Parameter Fine-Tuning of Large Language "
    "Models",
    axes={"parametrization": "tensor-train", "init": "own", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) (B A - B_0 A_0), A and B tensor trains",
    merges=True,
    export_rank="2r",
    fidelity="agrees with the authors' published formula and code facts",
    citation="""@article{yang2024loretta,
  title={LoRETTA: Low-Rank Economic Tensor-Train Adaptation for Ultra-Low-Parameter Fine-Tuning of Large Language Models},
  author={Yang, Yifan and Zhou, Jiajun and Wong, Ngai and Zhang, Zheng},
  journal={arXiv preprint arXiv:2402.11417},
  year={2024}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=loretta,
)
