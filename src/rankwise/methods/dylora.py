"""DyLoRA: Parameter Efficient Tuning of Pre-trained Models using Dynamic Search-Free Low-Rank Adaptation, Valipour et
al., 2022, arXiv 2210.07558.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.events import SampleRank
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def dylora(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    frozen: bool = False,
) -> Adapter:
    """Return DyLoRA: LoRA whose every step trains the first b components at scale alpha / b, b drawn from 1 ... rank.

    Args:
        frozen: only component b learns in that step.
    """
    return replace(lora(rank, alpha, placement, dropout), events=(SampleRank(frozen=frozen),))


CARD = Card(
    name="dylora",
    arxiv="2210.07558",
    title="DyLoRA: Parameter Efficient Tuning of Pre-trained Models using Dynamic Search-Free Low-Rank Adaptation",
    axes={"events": "sample-rank"},
    formula="W = W0 + (alpha/b) B[:, :b] A[:b] for every b <= r",
    merges=True,
    export_rank="r",
    fidelity="agrees with the published formula",
    citation="""@article{valipour2022dylora,
  title={DyLoRA: Parameter Efficient Tuning of Pre-trained Models using Dynamic Search-Free Low-Rank Adaptation},
  author={Valipour, Mojtaba and Rezagholizadeh, Mehdi and Kobyzev, Ivan and Ghodsi, Ali},
  journal={arXiv preprint arXiv:2210.07558},
  year={2022}
}""",
    build=dylora,
)
