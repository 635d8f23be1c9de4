"""Riemannian Preconditioned LoRA for Fine-Tuning Foundation Models, Zhang and Pilanci, 2024, arXiv 2402.02347."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.optimizers import Riemannian
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def riemannian_lora(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    delta: float = 1e-6,
) -> Adapter:
    """Return LoRA whose gradients are preconditioned by the other factor: (B^T B + delta I)^-1 g_A and its mirror."""
    return replace(lora(rank, alpha, placement, dropout), optimizer=Riemannian(delta))


CARD = Card(
    name="riemannian_lora",
    arxiv="2402.02347",
    title="Riemannian Preconditioned LoRA for Fine-Tuning Foundation Models",
    axes={"optimizer": "riemannian"},
    formula="W = W0 + (alpha/r) B A",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' published formula and code facts",
    citation="""@article{zhang2024riemannian,
  title={Riemannian Preconditioned LoRA for Fine-Tuning Foundation Models},
  author={Zhang, Fangzhao and Pilanci, Mert},
  journal={arXiv preprint arXiv:2402.02347},
  year={2024}
}""",
    build=riemannian_lora,
)
