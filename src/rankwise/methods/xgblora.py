"""Less is More: Extreme Gradient Boost Rank-1 Adaption for Efficient Finetuning of LLMs, Zhang et al., 2024,
arXiv 2410.19694 (XGBLoRA).
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.events import Boosting
from rankwise.adapters.penalties import Ridge
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def xgblora(
    rank: int = 1,
    alpha: float = 2.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    every: int = 8,
    layers: float = 1 / 3,
    ridge: float = 1e-4,
) -> Adapter:
    """Return boosted rank-1 LoRA: every ``every`` steps a new one on a random share of the layers, the old one merged.

    Args:
        alpha: 2 at rank 1 is the scale of LoRA's defaults.
        every: steps of a booster.
        layers: share of the model's layers that it adapts.
        ridge: weight of the squared norms of A and B in the loss.
    """
    adapter = lora(rank, alpha, placement, dropout)
    return replace(adapter, events=(Boosting(every=every, layers=layers),), penalties=(Ridge(ridge),))


CARD = Card(
    name="xgblora",
    arxiv="2410.19694",
    title="Less is More: Extreme Gradient Boost Rank-1 Adaption for Efficient Finetuning of LLMs",
    axes={"events": "boosting", "penalties": "ridge"},
    formula="W = W0 + (alpha/r) (B A + sum of merged B_i A_i)",
    merges=True,
    export_rank="r boosters",
    fidelity="agrees with the published formula; weights of ridge and boosters not the paper's",
    citation="""@article{zhang2024less,
  title={Less is More: Extreme Gradient Boost Rank-1 Adaption for Efficient Finetuning of LLMs},
  author={Zhang, Yifei and Zhu, Hao and Liu, Aiwei and Yu, Han and Koniusz, Piotr and King, Irwin},
  journal={arXiv preprint arXiv:2410.19694},
  year={2024}
}""",
    build=xgblora,
)
