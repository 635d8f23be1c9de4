"""AFLoRA: Adaptive Freezing of Low Rank Adaptation in Parameter Efficient Fine-Tuning of Large Models, Liu et al.,
2024, arXiv 2403.13269.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.events import ProgressiveFreezing
from rankwise.adapters.inits import KaimingBoth
from rankwise.adapters.parametrizations import FeatureScaled
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def aflora(
    rank: int = 4,
    alpha: float = 1.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    scope: Literal["all", "attention"] = "all",
) -> Adapter:
    """Return AFLoRA: W = W0 + alpha diag(b) B diag(d) A, A and B frozen one by one as they settle.

    Args:
        alpha: the scale itself; the paper has none.
        scope: which modules' A and B are frozen.
    """
    return replace(
        lora(rank, alpha, placement, dropout),
        parametrization=FeatureScaled(),
        init=KaimingBoth(),
        scaling=Constant(),
        events=(ProgressiveFreezing(scope=scope),),
    )


CARD = Card(
    name="aflora",
    arxiv="2403.13269",
    title="AFLoRA: Adaptive Freezing of Low Rank Adaptation in Parameter Efficient Fine-Tuning of Large Models",
    axes={
        "parametrization": "feature-scaled",
        "init": "kaiming-both",
        "scaling": "constant",
        "events": "progressive-freezing",
    },
    formula="W = W0 + alpha diag(b) B diag(d) A, A and B frozen in time",
    merges=True,
    export_rank="r",
    fidelity="formula only",
    citation="""@article{liu2024aflora,
  title={AFLoRA: Adaptive Freezing of Low Rank Adaptation in Parameter Efficient Fine-Tuning of Large Models},
  author={Liu, Zeyu and Kundu, Souvik and Li, Anni and Wan, Junrui and Jiang, Lianghao and Beerel, Peter Anthony},
  journal={arXiv preprint arXiv:2403.13269},
  year={2024}
}""",
    build=aflora,
)
