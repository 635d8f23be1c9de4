"""MiLoRA: Harnessing Minor Singular Components for Parameter-Efficient LLM Finetuning, Wang et al., 2024, arXiv
2406.09044.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.inits import MiLoRA
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def milora(
    rank: int = 16,
    alpha: float | None = None,
    placement: str | Placement = "all-linear",
    window: Literal["min", "max", "mid", "random"] = "min",
) -> Adapter:
    """Return LoRA started from the smallest singular triples of W0; alpha defaults to the rank, as published."""
    return replace(lora(rank, rank if alpha is None else alpha, placement), init=MiLoRA(window))


CARD = Card(
    name="milora",
    arxiv="2406.09044",
    title="MiLoRA: Harnessing Minor Singular Components for Parameter-Efficient LLM Finetuning",
    axes={"parametrization": "low-rank", "init": "milora", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) (B A - B0 A0), (alpha/r) B0 A0 = the r smallest singular components of W0",
    merges=True,
    export_rank="2r",
    fidelity="agrees with the authors' published formula and code facts; the base is not edited",
    citation="""@article{wang2024milora,
  title={MiLoRA: Harnessing Minor Singular Components for Parameter-Efficient LLM Finetuning},
  author={Wang, Hanqing and Li, Yixia and Wang, Shuo and Chen, Guanhua and Chen, Yun},
  journal={arXiv preprint arXiv:2406.09044},
  year={2024}
}""",
    build=milora,
)
