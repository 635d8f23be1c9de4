"""PiSSA: Principal Singular Values and Singular Vectors Adaptation, Meng et al., 2024, arXiv 2404.02948."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import PiSSA, PiSSAFast
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def pissa(
    rank: int = 16, alpha: float | None = None, placement: str | Placement = "all-linear", iterations: int = 0
) -> Adapter:
    """Return LoRA started from the top singular triples of W0; alpha defaults to the rank (s = 1), as published.

    Args:
        iterations: of the paper's fast randomized factorization (it takes 4 or 16); 0: an exact SVD.
    """
    init = PiSSAFast(iterations) if iterations else PiSSA()
    return replace(lora(rank, rank if alpha is None else alpha, placement), init=init)


CARD = Card(
    name="pissa",
    arxiv="2404.02948",
    title="PiSSA: Principal Singular Values and Singular Vectors Adaptation of Large Language Models",
    axes={"parametrization": "low-rank", "init": "pissa", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) (B A - B0 A0), (alpha/r) B0 A0 = best rank-r approximation of W0",
    merges=True,
    export_rank="2r",
    fidelity="agrees with PEFT's implementation in exact arithmetic; the base is not edited",
    citation="""@article{meng2024pissa,
  title={PiSSA: Principal Singular Values and Singular Vectors Adaptation of Large Language Models},
  author={Meng, Fanxu and Wang, Zhaohui and Zhang, Muhan},
  journal={arXiv preprint arXiv:2404.02948},
  year={2024}
}""",
    build=pissa,
)
