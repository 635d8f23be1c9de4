"""BiLoRA: A Bi-level Optimization Framework for Overfitting-Resilient Low-Rank Adaptation of Large Pre-trained Models,
Qiang et al., 2024, arXiv 2403.13037.

Deviations: the first-order gradient alone; the second-order term of the upper level, by finite differences, is left
out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.events import TwoLevels
from rankwise.adapters.parametrizations import PseudoSingular
from rankwise.adapters.penalties import GateEntropy, Orthogonality
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
    values: Literal["real", "softmax", "sigmoid"] = "real",
    orthogonality: float = 0.1,
) -> Adapter:
    """Return BiLoRA: W = W0 + (alpha / rank) B diag(g(e)) A, A and B learned on one part of the data, e on the other.

    Args:
        lower: steps of A and B after every step of e.
        upper: share of the data that e learns from.
        values: g: e itself, or its softmax or sigmoid; sigmoids come with a penalty that makes them 0 or 1.
        orthogonality: weight of the penalty on A and B.
    """
    binary = (GateEntropy(0.1),) if values == "sigmoid" else ()
    return replace(
        lora(rank, alpha, placement, dropout),
        parametrization=PseudoSingular(values),
        events=(TwoLevels(lower=lower, upper=upper),),
        penalties=(Orthogonality(orthogonality), *binary),
    )


CARD = Card(
    name="bilora",
    arxiv="2403.13037",
    title="BiLoRA: A Bi-level Optimization Framework for Overfitting-Resilient Low-Rank Adaptation of Large Pre-trained Models",  # noqa: E501
    axes={"parametrization": "pseudo-singular", "events": "two-levels", "penalties": "orthogonality"},
    formula="W = W0 + (alpha/r) B diag(g(e)) A, two levels",
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
