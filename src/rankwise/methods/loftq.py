"""LoftQ: LoRA-Fine-Tuning-Aware Quantization for Large Language Models, Li et al., 2023, arXiv 2310.08659."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import LoftQ
from rankwise.adapters.placements import Placement
from rankwise.adapters.storages import NF4
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def loftq(rank: int = 16, alpha: float = 32.0, placement: str | Placement = "all-linear", steps: int = 5) -> Adapter:
    """Return LoRA over NF4 codes chosen together with A and B so that both are near W0 at the start.

    Needs bitsandbytes (``pip install 'rankwise[quant]'``).

    Args:
        steps: alternations between quantizing and correcting.
    """
    return replace(lora(rank, alpha, placement), init=LoftQ(steps), storage=NF4())


CARD = Card(
    name="loftq",
    arxiv="2310.08659",
    title="LoftQ: LoRA-Fine-Tuning-Aware Quantization for Large Language Models",
    axes={"parametrization": "low-rank", "init": "loftq", "scaling": "alpha/r", "storage": "nf4"},
    formula="W = W0 + (alpha/r) B A, W0 read from NF4 codes Q, B A started as [W0 - Q]_r",
    merges=True,
    export_rank="-",
    fidelity="agrees with the authors' published formula; valid on its own quantized base, which is saved with it",
    citation="""@article{li2023loftq,
  title={LoftQ: LoRA-Fine-Tuning-Aware Quantization for Large Language Models},
  author={Li, Yixiao and Yu, Yifan and Liang, Chen and He, Pengcheng and Karampatziakis, Nikos and Chen, Weizhu and Zhao, Tuo},
  journal={arXiv preprint arXiv:2310.08659},
  year={2023}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=loftq,
)
