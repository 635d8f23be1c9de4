"""HiddenKey: "LoRA Meets Dropout under a Unified Framework", Wang et al., 2024, arXiv 2403.00812.

Deviations: of the paper's space of designs the members around its best point: keys by columns, hidden numbers one by
one, divergence by KL. JS, spans and other structures are left out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.events import HiddenKey
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def hidden_key(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    keys: float = 0.1,
    hidden: float = 0.1,
    beta: float = 0.5,
    position: Literal["logits", "weights"] = "logits",
) -> Adapter:
    """Return LoRA trained in two passes that drop keys and hidden numbers, and a penalty on their divergence.

    Args:
        keys: probability of dropping a key for all queries of a head.
        hidden: probability of dropping a hidden number of the feed-forward part.
        beta: weight of the divergence between the passes; 0: one pass (HiddenKey-).
        position: drop keys from attention's "logits" (DropKey) or from its "weights" (DropAttention).
    """
    event = HiddenKey(keys=keys, hidden=hidden, beta=beta, position=position)
    return replace(lora(rank, alpha, placement, dropout), events=(event,))


CARD = Card(
    name="hidden_key",
    arxiv="2403.00812",
    title="LoRA Meets Dropout under a Unified Framework",
    axes={"events": "hidden-key"},
    formula="W = W0 + (alpha/r) B A, loss = mean NLL of two dropped passes + beta KL both ways",
    merges=True,
    export_rank="r",
    fidelity="formula only; no JS, no spans; no public code, loss weights and rates are ours and to be set per task",
    citation="""@article{wang2024hiddenkey,
  title={LoRA Meets Dropout under a Unified Framework},
  author={Wang, Sheng and Chen, Liheng and Jiang, Jiyue and Xue, Boyang and Kong, Lingpeng and Wu, Chuan},
  journal={arXiv preprint arXiv:2403.00812},
  year={2024}
}""",
    build=hidden_key,
)
