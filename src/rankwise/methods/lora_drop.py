"""LoRA-drop: Efficient LoRA Parameter Pruning based on Output Evaluation, Zhou et al., 2024, arXiv 2402.07721.

Deviations: the first stage is inside the run. A run's number of trained parameters is that of the first stage; what is
left after the selection is in the event's record.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.events import OutputSelection
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def lora_drop(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    threshold: float = 0.9,
    stage: float = 0.1,
    shared: Literal["trainable", "frozen", "none"] = "trainable",
) -> Adapter:
    """Return LoRA-drop: after a first stage the layers with most of the output keep a LoRA each, the others share one.

    Args:
        threshold: share of the output, by kind of module, that keeps adapters of its own.
        stage: share of the run that the first stage takes.
        shared: whether the shared one trains, or "none": the others have no adapter.
    """
    event = OutputSelection(threshold=threshold, stage=stage, shared=shared)
    return replace(lora(rank, alpha, placement, dropout), events=(event,))


CARD = Card(
    name="lora_drop",
    arxiv="2402.07721",
    title="LoRA-drop: Efficient LoRA Parameter Pruning based on Output Evaluation",
    axes={"events": "output-selection"},
    formula="W = W0 + (alpha/r) B A, shared where the output is small",
    merges=True,
    export_rank="r",
    fidelity="agrees with the published formula; first stage inside the run",
    citation="""@article{zhou2024lora,
  title={LoRA-drop: Efficient LoRA Parameter Pruning based on Output Evaluation},
  author={Zhou, Hongyun and Lu, Xiangyu and Xu, Wang and Zhu, Conghui and Zhao, Tiejun and Yang, Muyun},
  journal={arXiv preprint arXiv:2402.07721},
  year={2024}
}""",
    build=lora_drop,
)
