"""LoRA: Low-Rank Adaptation of Large Language Models, Hu et al., 2021, arXiv 2106.09685."""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.axis import resolve
from rankwise.adapters.inits import INITS, Init, Kaiming, Own
from rankwise.adapters.parametrizations import ExpertLowRank, LowRank, Parametrization
from rankwise.adapters.placements import Experts, Placement
from rankwise.methods.card import Card
from rankwise.methods.placing import placement as place


def lora(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    init: str | Init = "kaiming",
) -> Adapter:
    """Return LoRA: W = W0 + (alpha / rank) B A.

    Placement "experts" is for mixtures whose experts are three-dimensional parameters: every expert gets its own pair.
    """
    where, start = place(placement), resolve("init", INITS, init)
    if isinstance(where, Experts):
        start = Own() if start == Kaiming() else start  # which is how the pairs of experts start themselves
        shape: Parametrization = ExpertLowRank()
    else:
        shape = LowRank()
    return Adapter(rank=rank, alpha=alpha, parametrization=shape, placement=where, dropout=dropout, init=start)


CARD = Card(
    name="lora",
    arxiv="2106.09685",
    title="LoRA: Low-Rank Adaptation of Large Language Models",
    axes={"parametrization": "low-rank", "init": "kaiming", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) B A",
    merges=True,
    export_rank="r",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{hu2021lora,
  title={LoRA: Low-Rank Adaptation of Large Language Models},
  author={Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and Wang, Shean and Wang, Lu and Chen, Weizhu},
  journal={arXiv preprint arXiv:2106.09685},
  year={2021}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=lora,
)
