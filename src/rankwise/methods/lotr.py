"""LoTR: Low Tensor Rank Weight Adaptation, Bershatsky et al., 2024, arXiv 2402.01376."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import SharedCore
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def lotr(
    rank: int = 16,
    alpha: float = 16.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
) -> Adapter:
    """Return LoTR: W_l = W0_l + (alpha / rank) B C_l A with A and B shared by all layers of one width, C_l = 0."""
    return replace(lora(rank, alpha, placement, dropout), parametrization=SharedCore(), init=Own())


CARD = Card(
    name="lotr",
    arxiv="2402.01376",
    title="LoTR: Low Tensor Rank Weight Adaptation",
    axes={"parametrization": "shared-core", "init": "own", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) B C A, A and B shared by layers of one width",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' published formula and code facts",
    citation="""@article{bershatsky2024lotr,
  title={LoTR: Low Tensor Rank Weight Adaptation},
  author={Bershatsky, Daniel and Cherniuk, Daria and Daulbaev, Talgat and Mikhalev, Aleksandr and Oseledets, Ivan},
  journal={arXiv preprint arXiv:2402.01376},
  year={2024}
}""",
    build=lotr,
)
