"""Chain of LoRA: Efficient Fine-tuning of Language Models via Residual Learning, Xia et al., 2024, arXiv
2401.04151.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.events import MergeAndRestart
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def cola(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    links: int = 3,
) -> Adapter:
    """Return a chain of ``links`` LoRAs, each trained with an optimizer and a schedule of its own, then merged.

    One link is LoRA.
    """
    events = (MergeAndRestart(times=links - 1, restart_schedule=True),) if links != 1 else ()
    return replace(lora(rank, alpha, placement, dropout), events=events)


CARD = Card(
    name="cola",
    arxiv="2401.04151",
    title="Chain of LoRA: Efficient Fine-tuning of Language Models via Residual Learning",
    axes={"events": "merge-and-restart"},
    formula="W = W0 + (alpha/r) (B A + sum of merged B_i A_i)",
    merges=True,
    export_rank="r links",
    fidelity="agrees with the published formula",
    citation="""@article{xia2024chain,
  title={Chain of LoRA: Efficient Fine-tuning of Language Models via Residual Learning},
  author={Xia, Wenhan and Qin, Chengwei and Hazan, Elad},
  journal={arXiv preprint arXiv:2401.04151},
  year={2024}
}""",
    build=cola,
)
