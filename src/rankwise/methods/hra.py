"""HRA, Bridging The Gap between Low-rank and Orthogonal Adaptation via Householder Reflection Adaptation, Yuan et al.,
2024, arXiv 2405.17484.
"""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Householder
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def hra(
    rank: int = 8,
    placement: str | Placement = "all-linear",
) -> Adapter:
    """Return HRA: W = W0 H_1 ... H_rank, a chain of an even number of reflections."""
    return Adapter(
        rank=rank,
        alpha=1.0,
        parametrization=Householder(),
        init=Own(),
        scaling=Constant(),
        placement=place(placement),
    )


CARD = Card(
    name="hra",
    arxiv="2405.17484",
    title="Bridging The Gap between Low-rank and Orthogonal Adaptation via Householder Reflection Adaptation",
    axes={"parametrization": "householder", "init": "own", "scaling": "constant"},
    formula="W = W0 + W0 (H_1 ... H_r - I)",
    merges=True,
    export_rank="r",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{yuan2024bridging,
  title={Bridging The Gap between Low-rank and Orthogonal Adaptation via Householder Reflection Adaptation},
  author={Yuan, Shen and Liu, Haotian and Xu, Hongteng},
  journal={arXiv preprint arXiv:2405.17484},
  year={2024}
}""",
    build=hra,
)
