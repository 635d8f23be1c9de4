"""DoRA: Weight-Decomposed Low-Rank Adaptation, Liu et al., 2024, arXiv 2402.09353."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.parametrizations import WeightDecomposed
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def dora(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    axis: Literal["out", "in"] = "out",
) -> Adapter:
    """Return DoRA: W = m V / |V| with V = W0 + (alpha / rank) B A and a trainable magnitude m per output.

    Args:
        axis: "out" for one magnitude per output, as in the authors' code and PEFT; "in" for one per input, as the
            paper writes it.
    """
    return replace(lora(rank, alpha, placement, dropout), parametrization=WeightDecomposed(axis))


CARD = Card(
    name="dora",
    arxiv="2402.09353",
    title="DoRA: Weight-Decomposed Low-Rank Adaptation",
    axes={"parametrization": "weight-decomposed", "init": "kaiming", "scaling": "alpha/r"},
    formula="W = m V / |V|, V = W0 + (alpha/r) B A",
    merges=True,
    export_rank="-",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{liu2024dora,
  title={DoRA: Weight-Decomposed Low-Rank Adaptation},
  author={Liu, Shih-Yang and Wang, Chien-Yi and Yin, Hongxu and Molchanov, Pavlo and Wang, Yu-Chiang Frank and Cheng, Kwang-Ting and Chen, Min-Hung},
  journal={arXiv preprint arXiv:2402.09353},
  year={2024}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=dora,
)
