"""TriLoRA: Integrating SVD for Advanced Style Personalization in Text-to-Image Generation, Feng et al., 2024, arXiv
2405.11236.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import KaimingBoth
from rankwise.adapters.parametrizations import Diagonal
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def trilora(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
) -> Adapter:
    """Return TriLoRA: W = W0 + (alpha / rank) B diag(e) A, e = 0. Public code leaves the scale out: alpha = rank."""
    return replace(lora(rank, alpha, placement, dropout), parametrization=Diagonal(), init=KaimingBoth())


CARD = Card(
    name="trilora",
    arxiv="2405.11236",
    title="TriLoRA: Integrating SVD for Advanced Style Personalization in Text-to-Image Generation",
    axes={"parametrization": "diagonal", "init": "kaiming-both", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) B diag(e) A",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' published formula and code facts",
    citation="""@article{feng2024trilora,
  title={TriLoRA: Integrating SVD for Advanced Style Personalization in Text-to-Image Generation},
  author={Feng, Chengcheng and He, Mu and Tian, Qiuyu and Yin, Haojie and Zhao, Xiaofang and Tang, Hongwei and Wei, Xingqiang},
  journal={arXiv preprint arXiv:2405.11236},
  year={2024}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=trilora,
)
