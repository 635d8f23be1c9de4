"""LoRA-XS: Low-Rank Adaptation with Extremely Small Number of Parameters, Bałazy et al., 2024, arXiv 2405.17604."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.freezing import Only
from rankwise.adapters.inits import SVDFrame
from rankwise.adapters.parametrizations import Core
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def lora_xs(
    rank: int = 16,
    alpha: float = 16.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    form: Literal["code", "paper"] = "code",
) -> Adapter:
    """Return LoRA-XS: W = W0 + (alpha / rank) B C A, where only the (rank, rank) core C trains.

    Args:
        form: where the singular values are: with A ("code", the authors' repository) or with B ("paper").
    """
    plain = lora(rank, alpha, placement, dropout)
    return replace(plain, parametrization=Core(std=1e-5), init=SVDFrame(form), freezing=Only(("C",)))


CARD = Card(
    name="lora_xs",
    arxiv="2405.17604",
    title="LoRA-XS: Low-Rank Adaptation with Extremely Small Number of Parameters",
    axes={"parametrization": "core", "init": "svd-frame", "scaling": "alpha/r", "freezing": "only"},
    formula="W = W0 + (alpha/r) B C A, B = U_r and A = S_r V_r^T of W0 frozen",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' published formula and code facts",
    citation="""@article{balazy2024lora,
  title={LoRA-XS: Low-Rank Adaptation with Extremely Small Number of Parameters},
  author={Ba{\\l}azy, Klaudia and Banaei, Mohammadreza and Aberer, Karl and Tabor, Jacek},
  journal={arXiv preprint arXiv:2405.17604},
  year={2024}
}""",
    build=lora_xs,
)
