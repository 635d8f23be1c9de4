"""PRILoRA: Pruned and Rank-Increasing Low-Rank Adaptation, Benedek and Wolf, 2024, arXiv 2401.11316."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.allocation import Ramp
from rankwise.adapters.events import InputPruning
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def prilora(
    rank: int = 8,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    spread: float = 0.5,
    every: int = 10,
    fraction: float = 0.5,
) -> Adapter:
    """Return PRILoRA: LoRA of mean rank ``rank`` growing with depth, A pruned row by row every ``every`` steps.

    Args:
        spread: the first layer has (1 - spread) rank, the last (1 + spread) rank.
        every: steps between two prunings.
        fraction: of every row of A, zeroed there.
    """
    event = InputPruning(every=every, fraction=fraction)
    return replace(lora(rank, alpha, placement, dropout), allocation=Ramp(spread), events=(event,))


CARD = Card(
    name="prilora",
    arxiv="2401.11316",
    title="PRILoRA: Pruned and Rank-Increasing Low-Rank Adaptation",
    axes={"allocation": "ramp", "events": "input-pruning"},
    formula="W = W0 + (alpha/r) B A, rank growing with depth",
    merges=True,
    export_rank="r",
    fidelity="agrees with the published formula; pruning interval and share not verified",
    citation="""@article{benedek2024prilora,
  title={PRILoRA: Pruned and Rank-Increasing Low-Rank Adaptation},
  author={Benedek, Nadav and Wolf, Lior},
  journal={arXiv preprint arXiv:2401.11316},
  year={2024}
}""",
    build=prilora,
)
