"""Sparse Low-rank Adaptation of Pre-trained Language Models, Ding et al., 2023, arXiv 2311.11696 (SoRA)."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.events import SoftThreshold
from rankwise.adapters.parametrizations import Gated
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def sora(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    xi: float = 1e-3,
    last: float = 0.0,
) -> Adapter:
    """Return SoRA: W = W0 + (alpha / rank) B diag(e) A, the gates e thresholded after every step.

    Args:
        rank: at the start; what is left is decided by the gates.
        xi: how much every gate loses in a step.
        last: lets xi grow to this value over the run; 0 keeps it.
    """
    event = SoftThreshold(xi=xi, last=last)
    return replace(lora(rank, alpha, placement, dropout), parametrization=Gated(), events=(event,))


CARD = Card(
    name="sora",
    arxiv="2311.11696",
    title="Sparse Low-rank Adaptation of Pre-trained Language Models",
    axes={"parametrization": "gated", "events": "soft-threshold"},
    formula="W = W0 + (alpha/r) B diag(e) A, e thresholded",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' published formula and code facts",
    citation="""@article{ding2023sparse,
  title={Sparse Low-rank Adaptation of Pre-trained Language Models},
  author={Ding, Ning and Lv, Xingtai and Wang, Qiaosen and Chen, Yulin and Zhou, Bowen and Liu, Zhiyuan and Sun, Maosong},
  journal={arXiv preprint arXiv:2311.11696},
  year={2023}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=sora,
)
