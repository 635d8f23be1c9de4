"""Parameter-Efficient Transfer Learning with Diff Pruning, Guo et al., 2020, arXiv 2012.07463."""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.events import HardConcrete
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import MaskedDifference
from rankwise.adapters.penalties import OpenGates
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def diff_pruning(
    placement: str | Placement = "all-linear",
    keep: float = 0.005,
    weight: float = 1.25e-7,
    fixed: float = 0.5,
    start: float = 5.0,
) -> Adapter:
    """Return a sparse change of whole weights: W = W0 + z * D, a gate z for every entry, most of them shut at the end.

    Args:
        keep: share of the entries that differ from the base at the end.
        weight: price of an open gate in the loss.
        fixed: share of the run after which the mask is fixed and the rest of D trains on.
        start: a of every gate at the start.
    """
    return Adapter(
        rank=1,
        alpha=1,
        parametrization=MaskedDifference(start),
        init=Own(),
        placement=place(placement),
        events=(HardConcrete(keep, fixed),),
        penalties=(OpenGates(weight),),
    )


CARD = Card(
    name="diff_pruning",
    arxiv="2012.07463",
    title="Parameter-Efficient Transfer Learning with Diff Pruning",
    axes={
        "parametrization": "masked-difference",
        "init": "own",
        "events": "hard-concrete",
        "penalties": "open-gates",
    },
    formula="W = W0 + z * D, z hard concrete per entry; the largest |z D| kept",
    merges=True,
    export_rank="-",
    fidelity="agrees with the authors' published formula and defaults, unstructured; both stages in one run",
    citation="""@article{guo2020parameter,
  title={Parameter-Efficient Transfer Learning with Diff Pruning},
  author={Guo, Demi and Rush, Alexander M. and Kim, Yoon},
  journal={arXiv preprint arXiv:2012.07463},
  year={2020}
}""",
    build=diff_pruning,
)
