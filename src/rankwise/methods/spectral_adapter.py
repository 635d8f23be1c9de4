"""Spectral Adapter: Fine-Tuning in Spectral Space, Zhang and Pilanci, 2024, arXiv 2405.13952."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Spectral
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def spectral_adapter(
    rank: int = 8,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    form: Literal["additive", "rotational"] = "additive",
    first: int = 0,
) -> Adapter:
    """Return the Spectral Adapter: the top singular vectors of W0 move, by additions or by rotations among themselves.

    Args:
        form: "additive" trains as many numbers as LoRA, "rotational" rank (rank - 1).
        first: singular vectors to skip.
    """
    return replace(
        lora(rank, 1.0, placement, dropout), parametrization=Spectral(form, first), init=Own(), scaling=Constant()
    )


CARD = Card(
    name="spectral_adapter",
    arxiv="2405.13952",
    title="Spectral Adapter: Fine-Tuning in Spectral Space",
    axes={"parametrization": "spectral", "init": "own", "scaling": "constant"},
    formula="W = W0 + (U + P) S (V + Q) - U S V, or W0 + U (R_P S R_Q - S) V",
    merges=True,
    export_rank="2r",
    fidelity="agrees with the authors' published formula and code facts",
    citation="""@article{zhang2024spectral,
  title={Spectral Adapter: Fine-Tuning in Spectral Space},
  author={Zhang, Fangzhao and Pilanci, Mert},
  journal={arXiv preprint arXiv:2405.13952},
  year={2024}
}""",
    build=spectral_adapter,
)
