"""CorDA: Context-Oriented Decomposition Adaptation of Large Language Models, Yang et al., 2024, arXiv 2406.05223."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.inits import CorDA
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def corda(
    rank: int = 16,
    alpha: float | None = None,
    placement: str | Placement = "all-linear",
    mode: Literal["ipm", "kpm"] = "ipm",
) -> Adapter:
    """Return LoRA started from the components of W0 that sample data use most (``mode="ipm"``) or least ("kpm").

    Needs ``attach(..., data=batches)``. Alpha defaults to the rank (s = 1), as published.
    """
    return replace(lora(rank, rank if alpha is None else alpha, placement), init=CorDA(mode))


CARD = Card(
    name="corda",
    arxiv="2406.05223",
    title="CorDA: Context-Oriented Decomposition Adaptation of Large Language Models",
    axes={"parametrization": "low-rank", "init": "corda", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) (B A - B0 A0), (alpha/r) B0 A0 = r components of W0 C C^-1, C = mean of x x^T on data",
    merges=True,
    export_rank="2r",
    fidelity="the published decomposition, equal to PEFT's of the same C; inputs are divided by their largest "
    "magnitude, where PEFT takes the magnitude of the largest value; the base is not edited",
    citation="""@article{yang2024corda,
  title={CorDA: Context-Oriented Decomposition Adaptation of Large Language Models},
  author={Yang, Yibo and Li, Xiaojie and Zhou, Zhongzhu and Song, Shuaiwen Leon and Wu, Jianlong and Nie, Liqiang and Ghanem, Bernard},
  journal={arXiv preprint arXiv:2406.05223},
  year={2024}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=corda,
)
