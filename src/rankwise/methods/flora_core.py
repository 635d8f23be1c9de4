"""FLoRA: Low-Rank Core Space for N-dimension, Si et al., 2024, arXiv 2405.14739."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Normal
from rankwise.adapters.parametrizations import Core
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import AlphaOverRankEps
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def flora_core(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
) -> Adapter:
    """Return FLoRA's core space for matrices: W = W0 + alpha / (rank + 1e-5) B C A, all three trained, C = 0."""
    return replace(
        lora(rank, alpha, placement, dropout), parametrization=Core(), init=Normal(), scaling=AlphaOverRankEps()
    )


CARD = Card(
    name="flora_core",
    arxiv="2405.14739",
    title="FLoRA: Low-Rank Core Space for N-dimension",
    axes={"parametrization": "core", "init": "normal", "scaling": "alpha/(r+1e-5)"},
    formula="W = W0 + (alpha/(r+1e-5)) B C A",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' published formula and code facts; matrices only",
    citation="""@article{si2024flora,
  title={FLoRA: Low-Rank Core Space for N-dimension},
  author={Si, Chongjie and Wang, Xuehui and Yang, Xue and Xu, Zhengqin and Li, Qingyun and Dai, Jifeng and Qiao, Yu and Yang, Xiaokang and Shen, Wei},
  journal={arXiv preprint arXiv:2405.14739},
  year={2024}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=flora_core,
)
