"""GaLore: Memory-Efficient LLM Training by Gradient Low-Rank Projection, Zhao et al., 2024, arXiv 2403.03507.

By default the rank is at most a quarter of a matrix's smaller side, and a short run projects anew three times all the
same: with the usual 200 steps and a fixed rank of 128, a run of our scales would never, or not at all.

Deviations: only the weights that the placement names train (all linear ones but the head), not embeddings and norms.
"""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.optimizers import GaLore
from rankwise.adapters.optimizers.compressed import left_open
from rankwise.adapters.parametrizations import WholeMatrix
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def galore(
    rank: int | None = None,
    placement: str | Placement = "all-linear",
    every: int | None = None,
    scale: float = 0.25,
) -> Adapter:
    """Return training of whole weights by Adam on gradients projected to ``rank``, the projection renewed in between.

    Args:
        rank: None: 128, and at most a quarter of a matrix's smaller side.
        every: steps between two projections from singular vectors. None: 200, fewer in runs of less than 800 steps, so
            that three new ones come in any.
        scale: of the projected step, relative to the learning rate.
    """
    return Adapter(
        rank=1,
        alpha=1,
        parametrization=WholeMatrix(),
        init=Own(),
        placement=place(placement),
        optimizer=GaLore(**left_open(rank, every, 200), scale=scale),
    )


CARD = Card(
    name="galore",
    arxiv="2403.03507",
    title="GaLore: Memory-Efficient LLM Training by Gradient Low-Rank Projection",
    axes={"parametrization": "whole-matrix", "init": "own", "optimizer": "galore"},
    formula="W = W0 + D, D moved by P^T Adam(P G)",
    merges=True,
    export_rank="-",
    fidelity="agrees with the published formula",
    citation="""@article{zhao2024galore,
  title={GaLore: Memory-Efficient LLM Training by Gradient Low-Rank Projection},
  author={Zhao, Jiawei and Zhang, Zhenyu and Chen, Beidi and Wang, Zhangyang and Anandkumar, Anima and Tian, Yuandong},
  journal={arXiv preprint arXiv:2403.03507},
  year={2024}
}""",
    build=galore,
)
