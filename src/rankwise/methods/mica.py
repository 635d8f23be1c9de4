"""MiCA Learns More Knowledge Than LoRA and Full Fine-Tuning, Rüdiger and Raschka, 2026, arXiv 2604.01694."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.freezing import Only
from rankwise.adapters.inits import MinorLeft
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def mica(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
) -> Adapter:
    """Return MiCA: B holds the left singular vectors of W0 with the smallest singular values and stays, A trains."""
    return replace(lora(rank, alpha, placement, dropout), init=MinorLeft(), freezing=Only(("A",)))


CARD = Card(
    name="mica",
    arxiv="2604.01694",
    title="MiCA Learns More Knowledge Than LoRA and Full Fine-Tuning",
    axes={"parametrization": "low-rank", "init": "minor-left", "scaling": "alpha/r", "freezing": "only"},
    formula="W = W0 + (alpha/r) B A, B minor left singular vectors of W0, frozen",
    merges=True,
    export_rank="r",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{rudiger2026mica,
  title={MiCA Learns More Knowledge Than LoRA and Full Fine-Tuning},
  author={R{\\"u}diger, Sten and Raschka, Sebastian},
  journal={arXiv preprint arXiv:2604.01694},
  year={2026}
}""",
    build=mica,
)
