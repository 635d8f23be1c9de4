"""BiLoRA: A Bi-level Optimization Framework for Overfitting-Resilient Low-Rank Adaptation of Large Pre-trained Models,
Qiang et al., 2024, arXiv 2403.13037.

Deviations: real values e (the paper also has softmax and nearly binary ones) and the first-order gradient.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.events import TwoLevels
from rankwise.adapters.inits import Normal
from rankwise.adapters.parametrizations import Diagonal
from rankwise.adapters.penalties import Orthogonality
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def bilora(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    lower: int = 1,
    upper: float = 0.2,
    orthogonality: float = 0.1,
) -> Adapter:
    """Return BiLoRA: W = W0 + (alpha / rank) B diag(e) A, A and B learned on one part of the data, e on the other.

    Args:
        lower: steps of A and B after every step of e.
        upper: share of the data that e learns from.
        orthogonality: weight of the penalty on A and B.
    """
    return replace(
        lora(rank, alpha, placement, dropout),
        parametrization=Diagonal(),
        init=Normal(),
        events=(TwoLevels(lower=lower, upper=upper),),
        penalties=(Orthogonality(orthogonality),),
    )


CARD = Card(
    name="bilora",
    arxiv="2403.13037",
    title="BiLoRA: A Bi-level Optimization Framework for Overfitting-Resilient Low-Rank Adaptation of Large Pre-trained Models",  # noqa: E501
    axes={"parametrization": "diagonal", "init": "normal", "events": "two-levels", "penalties": "orthogonality"},
    formula="W = W0 + (alpha/r) B diag(e) A, two levels",
    merges=True,
    export_rank="r",
    fidelity="formula only; first order",
    citation="""@article{qiang2024bilora,
  title={BiLoRA: A Bi-level Optimization Framework for Overfitting-Resilient Low-Rank Adaptation of Large Pre-trained Models},
  author={Qiang, Rushi and Zhang, Ruiyi and Xie, Pengtao},
  journal={arXiv preprint arXiv:2403.13037},
  year={2024}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=bilora,
)
