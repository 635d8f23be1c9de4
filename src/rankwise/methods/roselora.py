"""RoseLoRA: Row and Column-wise Sparse Low-rank Adaptation of Pre-trained Language Model for Knowledge Editing and
Fine-tuning, Wang et al., 2024, arXiv 2406.10777.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.events import RowSparsity
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def roselora(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    keep: float = 0.2,
) -> Adapter:
    """Return RoseLoRA: LoRA that keeps ``keep`` of every row of A and of every column of B."""
    return replace(lora(rank, alpha, placement, dropout), events=(RowSparsity(keep=keep),))


CARD = Card(
    name="roselora",
    arxiv="2406.10777",
    title="RoseLoRA: Row and Column-wise Sparse Low-rank Adaptation of Pre-trained Language Model for Knowledge Editing and Fine-tuning",  # noqa: E501
    axes={"events": "row-sparsity"},
    formula="W = W0 + (alpha/r) B A, rows of A and columns of B sparse",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' published formula and code facts",
    citation="""@article{wang2024roselora,
  title={RoseLoRA: Row and Column-wise Sparse Low-rank Adaptation of Pre-trained Language Model for Knowledge Editing and Fine-tuning},
  author={Wang, Haoyu and Liu, Tianci and Li, Ruirui and Cheng, Monica Xiao and Zhao, Tuo and Gao, Jing},
  journal={arXiv preprint arXiv:2406.10777},
  year={2024}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=roselora,
)
