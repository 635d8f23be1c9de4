"""LoRA-FA: Memory-efficient Low-rank Adaptation for Large Language Models Fine-tuning, Zhang et al., 2023, arXiv
2308.03303.

Deviations: A is frozen, as in the first versions; the corrected gradient of the third, (1/s^2) g_B (A A^T)^-1, is a
step rule and not part of this recipe.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.freezing import Only
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def lora_fa(
    rank: int = 16, alpha: float = 32.0, placement: str | Placement = "all-linear", dropout: float = 0.0
) -> Adapter:
    """Return LoRA whose A keeps its random start: W = W0 + (alpha / rank) B A, B trains."""
    return replace(lora(rank, alpha, placement, dropout), freezing=Only(("B",)))


CARD = Card(
    name="lora_fa",
    arxiv="2308.03303",
    title="LoRA-FA: Memory-efficient Low-rank Adaptation for Large Language Models Fine-tuning",
    axes={"parametrization": "low-rank", "init": "kaiming", "scaling": "alpha/r", "freezing": "only"},
    formula="W = W0 + (alpha/r) B A, A frozen",
    merges=True,
    export_rank="r",
    fidelity="agrees with the published formula; plain AdamW on B, without the corrected gradient",
    citation="""@article{zhang2023lora,
  title={LoRA-FA: Memory-efficient Low-rank Adaptation for Large Language Models Fine-tuning},
  author={Zhang, Longteng and Zhang, Lin and Shi, Shaohuai and Chu, Xiaowen and Li, Bo},
  journal={arXiv preprint arXiv:2308.03303},
  year={2023}
}""",
    build=lora_fa,
)
