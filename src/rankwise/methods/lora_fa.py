"""LoRA-FA: Memory-efficient Low-rank Adaptation for Large Language Models Fine-tuning, Zhang et al., 2023, arXiv
2308.03303.

Deviations: by default A is frozen and B steps by plain AdamW, as in the first versions; ``corrected`` takes the third's
gradient, (1/s^2) g_B (A A^T)^-1.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.freezing import Only
from rankwise.adapters.optimizers import ProjectedB
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def lora_fa(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    corrected: bool = False,
) -> Adapter:
    """Return LoRA whose A keeps its random start: W = W0 + (alpha / rank) B A, B trains.

    Args:
        corrected: step by the gradient of B that projects the full gradient on the row space of A.
    """
    adapter = replace(lora(rank, alpha, placement, dropout), freezing=Only(("B",)))
    return replace(adapter, optimizer=ProjectedB()) if corrected else adapter


CARD = Card(
    name="lora_fa",
    arxiv="2308.03303",
    title="LoRA-FA: Memory-efficient Low-rank Adaptation for Large Language Models Fine-tuning",
    axes={"parametrization": "low-rank", "init": "kaiming", "scaling": "alpha/r", "freezing": "only"},
    formula="W = W0 + (alpha/r) B A, A frozen",
    merges=True,
    export_rank="r",
    fidelity="agrees with the published formula; plain AdamW on B, the corrected gradient (as PEFT's) on request",
    citation="""@article{zhang2023lora,
  title={LoRA-FA: Memory-efficient Low-rank Adaptation for Large Language Models Fine-tuning},
  author={Zhang, Longteng and Zhang, Lin and Shi, Shaohuai and Chu, Xiaowen and Li, Bo},
  journal={arXiv preprint arXiv:2308.03303},
  year={2023}
}""",
    build=lora_fa,
)
