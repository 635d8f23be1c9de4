"""DropBP: Accelerating Fine-Tuning of Large Language Models by Dropping Backward Propagation, Woo et al., 2024, arXiv
2402.17812.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.events import DropBackward
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def dropbp(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    rate: float = 0.5,
    calibrate: float = 0.1,
) -> Adapter:
    """Return LoRA that leaves ``rate`` of the backward pass out, block by block, drawn anew for every step.

    Args:
        calibrate: share of the run after which rates follow the blocks' sensitivity; 0: never.
    """
    return replace(lora(rank, alpha, placement, dropout), events=(DropBackward(rate=rate, calibrate=calibrate),))


CARD = Card(
    name="dropbp",
    arxiv="2402.17812",
    title="DropBP: Accelerating Fine-Tuning of Large Language Models by Dropping Backward Propagation",
    axes={"events": "drop-backward"},
    formula="W = W0 + (alpha/r) B A, blocks dropped from the backward pass",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' published formula and code facts",
    citation="""@article{woo2024dropbp,
  title={DropBP: Accelerating Fine-Tuning of Large Language Models by Dropping Backward Propagation},
  author={Woo, Sunghyeon and Park, Baeseong and Kim, Byeongwook and Jo, Minjung and Kwon, Se Jung and Jeon, Dongsuk and Lee, Dongsoo},
  journal={arXiv preprint arXiv:2402.17812},
  year={2024}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=dropbp,
)
