"""LoRA+: Efficient Low Rank Adaptation of Large Models, Hayou et al., 2024, arXiv 2402.12354.

Deviations: the authors' code trains adapters on embeddings in a group of their own at 1e-6; here they are factors like
all others.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.optimizers import LoRAPlus
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def lora_plus(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    ratio: float = 16.0,
) -> Adapter:
    """Return LoRA whose B learns ``ratio`` times faster than A; the run's learning rate is A's."""
    return replace(lora(rank, alpha, placement, dropout), optimizer=LoRAPlus(ratio))


CARD = Card(
    name="lora_plus",
    arxiv="2402.12354",
    title="LoRA+: Efficient Low Rank Adaptation of Large Models",
    axes={"parametrization": "low-rank", "init": "kaiming", "scaling": "alpha/r", "optimizer": "lora-plus"},
    formula="W = W0 + (alpha/r) B A, lr of B = ratio x lr of A",
    merges=True,
    export_rank="r",
    fidelity="agrees with PEFT's implementation; the ratio 16 not verified",
    citation="""@article{hayou2024lora,
  title={LoRA+: Efficient Low Rank Adaptation of Large Models},
  author={Hayou, Soufiane and Ghosh, Nikhil and Yu, Bin},
  journal={arXiv preprint arXiv:2402.12354},
  year={2024}
}""",
    build=lora_plus,
)
