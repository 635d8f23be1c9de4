"""LoRA-GA: Low-Rank Adaptation with Gradient Approximation, Wang et al., 2024, arXiv 2407.05000."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.inits import LoRAGA
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def lora_ga(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    direction: Literal["ArB2r", "A2rBr", "ArBr", "random"] = "ArB2r",
    gamma: float = 16.0,
    singular_values: bool = False,
) -> Adapter:
    """Return LoRA started from the singular vectors of the weights' gradients on a few batches.

    Needs ``attach(..., data=batches)`` whose batches give a loss.

    Args:
        direction: which singular vectors go to A and to B.
        gamma: of the stable scale; larger starts quieter.
        singular_values: multiply B by them, as PEFT's implementation does.
    """
    return replace(lora(rank, alpha, placement), init=LoRAGA(direction, gamma, singular_values))


CARD = Card(
    name="lora_ga",
    arxiv="2407.05000",
    title="LoRA-GA: Low-Rank Adaptation with Gradient Approximation",
    axes={"parametrization": "low-rank", "init": "lora-ga", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) (B A - B0 A0), A0 = V_1..r^T, B0 = d_out^(1/4) / gamma^(1/2) U_r+1..2r, G = U S V^T",
    merges=True,
    export_rank="2r",
    fidelity="agrees with PEFT's implementation (singular_values=True) in exact arithmetic; the base is not edited",
    citation="""@article{wang2024lora,
  title={LoRA-GA: Low-Rank Adaptation with Gradient Approximation},
  author={Wang, Shaowen and Yu, Linxi and Li, Jian},
  journal={arXiv preprint arXiv:2407.05000},
  year={2024}
}""",
    build=lora_ga,
)
