"""VB-LoRA: Extreme Parameter Efficient Fine-Tuning with Vector Banks, Li et al., 2024, arXiv 2405.15179.

Deviations: one learning rate for bank and logits (others give the logits ten times the bank's; not verified). An
adapter is stored with all its logits, so that training can go on; the paper's small form, the best vectors and their
weights alone, is left out.
"""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import VectorBank
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def vb_lora(
    rank: int = 4,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    vectors: int = 256,
    length: int = 64,
    topk: int = 2,
) -> Adapter:
    """Return VB-LoRA: W = W0 + B A, every piece of A and B a mixture of its best vectors of one bank.

    Args:
        vectors, length: of the bank; the length must divide the sides of every layer (PEFT's default is 256).
        topk: vectors in a mixture.
    """
    return Adapter(
        rank=rank,
        alpha=1.0,
        parametrization=VectorBank(vectors, length, topk),
        init=Own(),
        scaling=Constant(),
        placement=place(placement),
        dropout=dropout,
    )


CARD = Card(
    name="vb_lora",
    arxiv="2405.15179",
    title="VB-LoRA: Extreme Parameter Efficient Fine-Tuning with Vector Banks",
    axes={"parametrization": "vector-bank", "init": "own", "scaling": "constant"},
    formula="W = W0 + B A, their pieces mixed from one bank of vectors",
    merges=True,
    export_rank="r",
    fidelity="agrees with PEFT's implementation; one learning rate, stored with all logits",
    citation="""@article{li2024vb,
  title={VB-LoRA: Extreme Parameter Efficient Fine-Tuning with Vector Banks},
  author={Li, Yang and Han, Shaobo and Ji, Shihao},
  journal={arXiv preprint arXiv:2405.15179},
  year={2024}
}""",
    build=vb_lora,
)
