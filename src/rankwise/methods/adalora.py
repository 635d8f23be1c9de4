"""AdaLoRA: Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning, Zhang et al., 2023, arXiv 2303.10512.

Components with equal scores at the allocator's threshold all go, as in the authors' code and in PEFT, with which we
agree to the bit on the same gradients; sharing the budget out among them would not. It matters only for scores that are
equal to the bit: a whole model of them (no gradient at all) loses everything for that choice, up to the next one.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.events import RankAllocator
from rankwise.adapters.inits import Normal
from rankwise.adapters.parametrizations import Diagonal
from rankwise.adapters.penalties import Orthogonality
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import AlphaOverRankEps
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def adalora(
    rank: int = 12,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    target: int | None = None,
    every: int = 10,
    orthogonality: float = 0.1,
) -> Adapter:
    """Return AdaLoRA: W = W0 + alpha / (rank + 1e-5) B diag(e) A, e = 0, pruned to a mean rank of ``target``.

    Args:
        rank: that every layer starts from.
        target: mean rank at the end; two thirds of ``rank`` by default.
        every: steps between two choices of the allocator.
        orthogonality: weight of the penalty on A and B.
    """
    last = max(1, round(rank / 1.5)) if target is None else target
    return replace(
        lora(rank, alpha, placement, dropout),
        parametrization=Diagonal(),
        init=Normal(),
        scaling=AlphaOverRankEps(),
        events=(RankAllocator(target=last, every=every),),
        penalties=(Orthogonality(orthogonality, squared=False),),
    )


CARD = Card(
    name="adalora",
    arxiv="2303.10512",
    title="AdaLoRA: Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning",
    axes={
        "parametrization": "diagonal",
        "init": "normal",
        "scaling": "alpha/(r+1e-5)",
        "events": "rank-allocator",
        "penalties": "orthogonality",
    },
    formula="W = W0 + (alpha/(r+1e-5)) B diag(e) A, e pruned to a mean rank",
    merges=True,
    export_rank="r",
    fidelity="agrees with PEFT's implementation, allocator and ties included",
    citation="""@article{zhang2023adalora,
  title={AdaLoRA: Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning},
  author={Zhang, Qingru and Chen, Minshuo and Bukharin, Alexander and Karampatziakis, Nikos and He, Pengcheng and Cheng, Yu and Chen, Weizhu and Zhao, Tuo},
  journal={arXiv preprint arXiv:2303.10512},
  year={2023}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=adalora,
)
