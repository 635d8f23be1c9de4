"""Sparse Low-rank Adaptation of Pre-trained Language Models, Ding et al., 2023, arXiv 2311.11696 (SoRA).

Deviations: by default the gates lose 0.25 over the run, evenly over its steps; the authors' 1e-4 to 1e-3 in every step
are for runs of thousands and would close nothing in twenty.
"""

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
    xi: float | None = None,
    last: float = 0.0,
    total: float = 0.25,
) -> Adapter:
    """Return SoRA: W = W0 + (alpha / rank) B diag(e) A, the gates e thresholded after every step.

    Args:
        rank: at the start; what is left is decided by the gates.
        xi: how much every gate loses in a step, in place of ``total``; None with ``last``: 1e-3.
        last: lets xi grow to this value over the run; 0 keeps it.
        total: how much every gate loses in the whole run.
    """
    by_step = xi is not None or last != 0
    event = SoftThreshold(xi=1e-3 if xi is None else xi, last=last, total=0.0 if by_step else total)
    return replace(lora(rank, alpha, placement, dropout), parametrization=Gated(), events=(event,))


CARD = Card(
    name="sora",
    arxiv="2311.11696",
    title="Sparse Low-rank Adaptation of Pre-trained Language Models",
    axes={"parametrization": "gated", "events": "soft-threshold"},
    formula="W = W0 + (alpha/r) B diag(e) A, e thresholded",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' published formula and code facts; by default xi is a total over the run",
    citation="""@article{ding2023sparse,
  title={Sparse Low-rank Adaptation of Pre-trained Language Models},
  author={Ding, Ning and Lv, Xingtai and Wang, Qiaosen and Chen, Yulin and Zhou, Bowen and Liu, Zhiyuan and Sun, Maosong},
  journal={arXiv preprint arXiv:2311.11696},
  year={2023}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=sora,
)
