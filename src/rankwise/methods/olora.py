"""OLoRA: Orthonormal Low-Rank Adaptation of Large Language Models, Büyükakyüz, 2024, arXiv 2406.01775."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import OLoRA
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def olora(rank: int = 16, alpha: float | None = None, placement: str | Placement = "all-linear") -> Adapter:
    """Return LoRA started from the QR factors of W0; alpha defaults to the rank (s = 1)."""
    return replace(lora(rank, rank if alpha is None else alpha, placement), init=OLoRA())


CARD = Card(
    name="olora",
    arxiv="2406.01775",
    title="OLoRA: Orthonormal Low-Rank Adaptation of Large Language Models",
    axes={"parametrization": "low-rank", "init": "olora", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) (B A - B0 A0), B0 A0 = Q_r R_r of W0 = Q R",
    merges=True,
    export_rank="2r",
    fidelity="agrees with PEFT's implementation in exact arithmetic; the base is not edited",
    citation="""@article{buyukakyuz2024olora,
  title={OLoRA: Orthonormal Low-Rank Adaptation of Large Language Models},
  author={B{\\"u}y{\\"u}kaky{\\"u}z, Kerim},
  journal={arXiv preprint arXiv:2406.01775},
  year={2024}
}""",
    build=olora,
)
