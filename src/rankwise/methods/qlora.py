"""QLoRA: Efficient Finetuning of Quantized LLMs, Dettmers et al., 2023, arXiv 2305.14314."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.placements import Placement
from rankwise.adapters.storages import NF4
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def qlora(
    rank: int = 64,
    alpha: float = 16.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    double: bool = True,
    block: int = 64,
) -> Adapter:
    """Return LoRA over a base kept in four bits: W = dequantize(NF4(W0)) + (alpha / rank) B A.

    Needs bitsandbytes (``pip install 'rankwise[quant]'``).

    Args:
        double: quantize the blocks' scales too.
        block: weights that share one scale.
    """
    return replace(lora(rank, alpha, placement, dropout), storage=NF4(double, block))


CARD = Card(
    name="qlora",
    arxiv="2305.14314",
    title="QLoRA: Efficient Finetuning of Quantized LLMs",
    axes={"parametrization": "low-rank", "init": "kaiming", "scaling": "alpha/r", "storage": "nf4"},
    formula="W = W0 + (alpha/r) B A, W0 read from NF4 codes",
    merges=True,
    export_rank="r",
    fidelity="NF4 by bitsandbytes, held against the published code book; export is valid on the quantized base",
    citation="""@article{dettmers2023qlora,
  title={QLoRA: Efficient Finetuning of Quantized LLMs},
  author={Dettmers, Tim and Pagnoni, Artidoro and Holtzman, Ari and Zettlemoyer, Luke},
  journal={arXiv preprint arXiv:2305.14314},
  year={2023}
}""",
    build=qlora,
)
