"""DoRA: Enhancing Parameter-Efficient Fine-Tuning with Dynamic Rank Distribution, Mao et al., 2024, arXiv
2405.17357. (Not the weight-decomposed DoRA, 2402.09353.)

Deviations: the prunings are ten, evenly over their part of the run, where the authors prune every 100 steps.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.events import ComponentPruning
from rankwise.adapters.inits import KaimingBoth
from rankwise.adapters.parametrizations import Diagonal
from rankwise.adapters.penalties import Variance
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def dora_dyn(
    rank: int = 12,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    target: int | None = None,
    every: int | None = None,
    variance: float = 0.1,
) -> Adapter:
    """Return DoRA with dynamic rank: W = W0 + (alpha / rank) B diag(e) A, e = 0, the smallest components pruned.

    Args:
        rank: that every layer starts from.
        target: mean rank at the end; two thirds of ``rank`` by default.
        every: steps between two prunings; None: ten prunings, or one after every step where there are fewer.
        variance: weight of the penalty on the spread of a component's entries, up to the last pruning.
    """
    last = max(1, round(rank / 1.5)) if target is None else target
    when = ComponentPruning(target=last, times=10) if every is None else ComponentPruning(target=last, every=every)
    return replace(
        lora(rank, alpha, placement, dropout),
        parametrization=Diagonal(),
        init=KaimingBoth(),
        events=(when,),
        penalties=(Variance(variance, until=when.begin + when.span),),
    )


CARD = Card(
    name="dora_dyn",
    arxiv="2405.17357",
    title="DoRA: Enhancing Parameter-Efficient Fine-Tuning with Dynamic Rank Distribution",
    axes={
        "parametrization": "diagonal",
        "init": "kaiming-both",
        "events": "component-pruning",
        "penalties": "variance",
    },
    formula="W = W0 + (alpha/r) B diag(e) A, e pruned by size",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' published formula and code facts; ten prunings in a run of any length",
    citation="""@article{mao2024dora,
  title={DoRA: Enhancing Parameter-Efficient Fine-Tuning with Dynamic Rank Distribution},
  author={Mao, Yulong and Huang, Kaiyu and Guan, Changhao and Bao, Ganglin and Mo, Fengran and Xu, Jinan},
  journal={arXiv preprint arXiv:2405.17357},
  year={2024}
}""",
    build=dora_dyn,
)
