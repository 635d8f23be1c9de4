"""AdaLoRA: Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning, Zhang et al., 2023, arXiv 2303.10512."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Normal
from rankwise.adapters.parametrizations import Diagonal
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import AlphaOverRankEps
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def adalora(
    rank: int = 12, alpha: float = 32.0, placement: str | Placement = "all-linear", dropout: float = 0.0
) -> Adapter:
    """Return AdaLoRA's parametrization at its initial rank: W = W0 + alpha / (rank + 1e-5) B diag(e) A, e = 0.

    The allocator that prunes e while training is an event; without it every component stays.
    """
    return replace(
        lora(rank, alpha, placement, dropout), parametrization=Diagonal(), init=Normal(), scaling=AlphaOverRankEps()
    )


CARD = Card(
    name="adalora",
    arxiv="2303.10512",
    title="AdaLoRA: Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning",
    axes={"parametrization": "diagonal", "init": "normal", "scaling": "alpha/(r+1e-5)"},
    formula="W = W0 + (alpha/(r+1e-5)) B diag(e) A",
    merges=True,
    export_rank="r",
    fidelity="agrees with PEFT's implementation; without the rank allocator",
    citation="""@article{zhang2023adalora,
  title={AdaLoRA: Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning},
  author={Zhang, Qingru and Chen, Minshuo and Bukharin, Alexander and Karampatziakis, Nikos and He, Pengcheng and Cheng, Yu and Chen, Weizhu and Zhao, Tuo},
  journal={arXiv preprint arXiv:2303.10512},
  year={2023}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=adalora,
)
