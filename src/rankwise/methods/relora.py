"""ReLoRA: High-Rank Training Through Low-Rank Updates, Lialin et al., 2023, arXiv 2307.05695.

Deviations: the full-rank warm start of pretraining is left out; ``merges`` says how often a run of any length merges,
where the paper merges every 1000 to 5000 steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.events import MergeAndRestart
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def relora(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    merges: int = 3,
    warmup: float = 0.1,
    moments: Literal["reset", "magnitude", "random"] = "reset",
) -> Adapter:
    """Return ReLoRA: LoRA that is merged ``merges`` times, starting anew each time: total rank up to (merges + 1) rank.

    Args:
        merges: how often, evenly over the run; 0 is LoRA.
        warmup: share of the steps between two merges over which the learning rate climbs back.
        moments: what a merge leaves of Adam's moments: nothing, or a tenth.
    """
    event = MergeAndRestart(times=merges, warmup=warmup, moments=moments)
    return replace(lora(rank, alpha, placement, dropout), events=(event,) if merges else ())


CARD = Card(
    name="relora",
    arxiv="2307.05695",
    title="ReLoRA: High-Rank Training Through Low-Rank Updates",
    axes={"events": "merge-and-restart"},
    formula="W = W0 + (alpha/r) (B A + sum of merged B_i A_i)",
    merges=True,
    export_rank="r(merges+1)",
    fidelity="agrees with the published formula",
    citation="""@article{lialin2023relora,
  title={ReLoRA: High-Rank Training Through Low-Rank Updates},
  author={Lialin, Vladislav and Shivagunde, Namrata and Muckatira, Sherin and Rumshisky, Anna},
  journal={arXiv preprint arXiv:2307.05695},
  year={2023}
}""",
    build=relora,
)
