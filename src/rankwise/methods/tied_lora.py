"""Tied-LoRA: Enhancing parameter efficiency of LoRA with weight tying, Renduchintala et al., 2023, arXiv 2311.09578."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Tied
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def tied_lora(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    trains: str = "vBuA",
) -> Adapter:
    """Return Tied-LoRA: W_l = W0_l + (alpha / rank) diag(v_l) B diag(u_l) A with one A and B for all layers of a width.

    Args:
        trains: which of v, B, u and A do: "vBuA" is the paper's TL6, "BA" plain tied LoRA.
    """
    return replace(lora(rank, alpha, placement, dropout), parametrization=Tied(trains), init=Own())


CARD = Card(
    name="tied_lora",
    arxiv="2311.09578",
    title="Tied-LoRA: Enhancing parameter efficiency of LoRA with weight tying",
    axes={"parametrization": "tied", "init": "own", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) diag(v) B diag(u) A, A and B shared by layers of one width",
    merges=True,
    export_rank="r",
    fidelity="formula only",
    citation="""@article{renduchintala2023tied,
  title={Tied-LoRA: Enhancing parameter efficiency of LoRA with weight tying},
  author={Renduchintala, Adithya and Konuk, Tugrul and Kuchaiev, Oleksii},
  journal={arXiv preprint arXiv:2311.09578},
  year={2023}
}""",
    build=tied_lora,
)
