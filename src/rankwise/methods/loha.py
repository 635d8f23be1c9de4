"""LoHa, FedPara: Low-Rank Hadamard Product for Communication-Efficient Federated Learning, Hyeon-Woo et al., 2021,
arXiv 2108.06098.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Hadamard
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def loha(
    rank: int = 8,
    alpha: float = 8.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
) -> Adapter:
    """Return LoHa: W = W0 + (alpha / rank) (B1 A1) * (B2 A2), of rank up to rank squared."""
    return replace(lora(rank, alpha, placement, dropout), parametrization=Hadamard(), init=Own())


CARD = Card(
    name="loha",
    arxiv="2108.06098",
    title="FedPara: Low-Rank Hadamard Product for Communication-Efficient Federated Learning",
    axes={"parametrization": "hadamard", "init": "own", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) (B1 A1) * (B2 A2)",
    merges=True,
    export_rank="r^2",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{hyeonwoo2021fedpara,
  title={FedPara: Low-Rank Hadamard Product for Communication-Efficient Federated Learning},
  author={Hyeon-Woo, Nam and Ye-Bin, Moon and Oh, Tae-Hyun},
  journal={arXiv preprint arXiv:2108.06098},
  year={2021}
}""",
    build=loha,
)
