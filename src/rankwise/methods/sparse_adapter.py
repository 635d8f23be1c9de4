"""SparseAdapter: An Easy Approach for Improving the Parameter-Efficiency of Adapters, He et al., 2022, arXiv
2210.04284.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.events import EarlyMask
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def sparse_adapter(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    density: float = 0.5,
    by: Literal["snip", "magnitude", "synflow", "random"] = "snip",
    large: bool = False,
) -> Adapter:
    """Return LoRA of which only ``density`` of all entries trains, chosen once.

    Args:
        by: the score that decides.
        large: Large-Sparse: the rank over the density, at the scale of ``rank``, so that as many entries train as in
            plain LoRA of that rank.
    """
    wide = max(rank, round(rank / density)) if large else rank
    adapter = lora(wide, alpha * wide / rank, placement, dropout)
    return replace(adapter, events=(EarlyMask(density=density, by=by),))


CARD = Card(
    name="sparse_adapter",
    arxiv="2210.04284",
    title="SparseAdapter: An Easy Approach for Improving the Parameter-Efficiency of Adapters",
    axes={"events": "early-mask"},
    formula="W = W0 + (alpha/r) B A, A and B masked",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' published formula and code facts; mask after two steps, without GraSP",
    citation="""@article{he2022sparseadapter,
  title={SparseAdapter: An Easy Approach for Improving the Parameter-Efficiency of Adapters},
  author={He, Shwai and Ding, Liang and Dong, Daize and Zhang, Miao and Tao, Dacheng},
  journal={arXiv preprint arXiv:2210.04284},
  year={2022}
}""",
    build=sparse_adapter,
)
