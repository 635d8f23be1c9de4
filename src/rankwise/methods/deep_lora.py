"""Deep LoRA: Compressible Dynamics in Deep Overparameterized Low-Rank Learning & Adaptation, Yaras et al., 2024, arXiv
2406.04112.

Deviation: the frames of the compressed form stay frozen (the authors' gamma = 0, their code's default; the paper also
trains them at a small share of the learning rate). They come from the first batches that an init may look at.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.freezing import Only
from rankwise.adapters.inits import GradientFrame, ScaledOrthogonal
from rankwise.adapters.parametrizations import Deep
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.errors import UsageError
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def deep_lora(
    rank: int = 8,
    alpha: float = 1.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    depth: int = 3,
    compressed: bool = False,
) -> Adapter:
    """Return an update of ``depth`` factors that all start as small orthogonal matrices; of depth 2, LoRA.

    Args:
        depth: factors that train, from 2.
        compressed: all of them (rank, rank), between the leading singular vectors of the gradient, which stay frozen.

    Raises:
        UsageError: a depth below 2, or below 3 where it is compressed: orthogonal factors need a third to start small.
    """
    least = 3 if compressed else 2
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < least:
        kind = "of a compressed deep_lora " if compressed else ""
        raise UsageError(f"depth {kind}must be a whole number of at least {least}, found {depth!r}.")
    plain = replace(lora(rank, alpha, placement, dropout), scaling=Constant())
    if depth == 2:
        return plain
    if not compressed:
        return replace(plain, parametrization=Deep(cores=depth - 2), init=ScaledOrthogonal())
    shape = Deep(cores=depth)
    return replace(plain, parametrization=shape, init=GradientFrame(), freezing=Only(tuple(shape.names)))


CARD = Card(
    name="deep_lora",
    arxiv="2406.04112",
    title="Compressible Dynamics in Deep Overparameterized Low-Rank Learning & Adaptation",
    axes={"parametrization": "deep", "init": "scaled-orthogonal", "scaling": "constant"},
    formula="W = W0 + alpha B C A; compressed: alpha U_r C3 C2 C1 V_r^T, U_r and V_r of the gradient, frozen",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' code facts; the compressed form with their gamma = 0",
    citation="""@article{yaras2024compressible,
  title={Compressible Dynamics in Deep Overparameterized Low-Rank Learning & Adaptation},
  author={Yaras, Can and Wang, Peng and Balzano, Laura and Qu, Qing},
  journal={arXiv preprint arXiv:2406.04112},
  year={2024}
}""",
    build=deep_lora,
)
