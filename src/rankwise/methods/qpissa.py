"""QPiSSA: PiSSA on a quantized base, Meng et al., 2024, arXiv 2404.02948, section 4."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import QPiSSA
from rankwise.adapters.placements import Placement
from rankwise.adapters.storages import NF4
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def qpissa(
    rank: int = 16, alpha: float | None = None, placement: str | Placement = "all-linear", steps: int = 5
) -> Adapter:
    """Return PiSSA whose residual is kept in NF4: the principal part of W0 is in A and B, in full precision.

    Needs bitsandbytes (``pip install 'rankwise[quant]'``). Alpha defaults to the rank (s = 1), as published.

    Args:
        steps: alternations between the principal part and the quantized residual.
    """
    return replace(lora(rank, rank if alpha is None else alpha, placement), init=QPiSSA(steps), storage=NF4())


CARD = Card(
    name="qpissa",
    arxiv="2404.02948",
    title="PiSSA: Principal Singular Values and Singular Vectors Adaptation of Large Language Models",
    axes={"parametrization": "low-rank", "init": "qpissa", "scaling": "alpha/r", "storage": "nf4"},
    formula="W = W0 + (alpha/r) B A, W0 read from NF4 codes of W0 - [W0]_r, B A started as [W0]_r",
    merges=True,
    export_rank="-",
    fidelity="agrees with the authors' published formula; valid on its own quantized base, which is saved with it",
    citation="""@article{meng2024pissa,
  title={PiSSA: Principal Singular Values and Singular Vectors Adaptation of Large Language Models},
  author={Meng, Fanxu and Wang, Zhaohui and Zhang, Muhan},
  journal={arXiv preprint arXiv:2404.02948},
  year={2024}
}""",
    build=qpissa,
)
