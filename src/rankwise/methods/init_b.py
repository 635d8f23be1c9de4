"""Init[B], The Impact of Initialization on LoRA Finetuning Dynamics, Hayou et al., 2024, arXiv 2406.08447."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import ZeroA
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def init_b(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
) -> Adapter:
    """Return Init[B]: LoRA that starts with A = 0 and a random B; Init[A] is plain LoRA (B = 0)."""
    return replace(lora(rank, alpha, placement, dropout), init=ZeroA())


CARD = Card(
    name="init_b",
    arxiv="2406.08447",
    title="The Impact of Initialization on LoRA Finetuning Dynamics",
    axes={"parametrization": "low-rank", "init": "zero-a", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) B A, A = 0 at the start",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' published formula and code facts",
    citation="""@article{hayou2024impact,
  title={The Impact of Initialization on LoRA Finetuning Dynamics},
  author={Hayou, Soufiane and Ghosh, Nikhil and Yu, Bin},
  journal={arXiv preprint arXiv:2406.08447},
  year={2024}
}""",
    build=init_b,
)
