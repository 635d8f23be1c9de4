"""Asymmetry in Low-Rank Adapters of Foundation Models, Zhu et al., 2024, arXiv 2402.16842.

Deviations: A frozen and B trained from zero, the paper's best case. Its other cases, B frozen (random, or left singular
vectors) and a Kaiming A ("he"), are left out; `mica` has the frozen B, `lora_fa` the frozen Kaiming A.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.freezing import Only
from rankwise.adapters.inits import OrthonormalA
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def asymmetric_lora(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    rows: Literal["random", "top", "bottom"] = "random",
) -> Adapter:
    """Return asymmetric LoRA: A has orthonormal rows and stays, B trains from zero.

    Args:
        rows: of A: "random", or the right singular vectors of W0 at the "top" or "bottom" of its spectrum.
    """
    return replace(lora(rank, alpha, placement, dropout), init=OrthonormalA(rows), freezing=Only(("B",)))


CARD = Card(
    name="asymmetric_lora",
    arxiv="2402.16842",
    title="Asymmetry in Low-Rank Adapters of Foundation Models",
    axes={"parametrization": "low-rank", "init": "orthonormal-a", "scaling": "alpha/r", "freezing": "only"},
    formula="W = W0 + (alpha/r) B A, A A^T = I frozen",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' published formula and code facts; B trained from zero only",
    citation="""@article{zhu2024asymmetry,
  title={Asymmetry in Low-Rank Adapters of Foundation Models},
  author={Zhu, Jiacheng and Greenewald, Kristjan and Nadjahi, Kimia and S{\\'a}ez de Oc{\\'a}riz Borde, Haitz and Br{\\"u}el Gabrielsson, Rickard and Choshen, Leshem and Ghassemi, Marzyeh and Yurochkin, Mikhail and Solomon, Justin},
  journal={arXiv preprint arXiv:2402.16842},
  year={2024}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=asymmetric_lora,
)
