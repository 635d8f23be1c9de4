"""rsLoRA: A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA, Kalajdzievski, 2023, arXiv 2312.03732."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import AlphaOverSqrtRank
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def rslora(
    rank: int = 16, alpha: float = 8.0, placement: str | Placement = "all-linear", dropout: float = 0.0
) -> Adapter:
    """Return rank-stabilized LoRA: W = W0 + (alpha / sqrt(rank)) B A.

    The default alpha gives s = 2 at rank 16, the scale plain LoRA has there with alpha 32.
    """
    return replace(lora(rank, alpha, placement, dropout), scaling=AlphaOverSqrtRank())


CARD = Card(
    name="rslora",
    arxiv="2312.03732",
    title="A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA",
    axes={"parametrization": "low-rank", "init": "kaiming", "scaling": "alpha/sqrt(r)"},
    formula="W = W0 + (alpha/sqrt(r)) B A",
    merges=True,
    export_rank="r",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{kalajdzievski2023rank,
  title={A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA},
  author={Kalajdzievski, Damjan},
  journal={arXiv preprint arXiv:2312.03732},
  year={2023}
}""",
    build=rslora,
)
