"""MELoRA: Mini-Ensemble Low-Rank Adapters for Parameter-Efficient Fine-Tuning, Ren et al., 2024, arXiv 2402.17263."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Blocks
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def melora(
    rank: int = 8,
    alpha: float = 16.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    count: int = 2,
) -> Adapter:
    """Return MELoRA: ``count`` small adapters of this rank on disjoint slices, of rank count x rank together.

    Args:
        count: of slices; it must divide the sides of every layer.
    """
    return replace(lora(rank, alpha, placement, dropout), parametrization=Blocks(count), init=Own())


CARD = Card(
    name="melora",
    arxiv="2402.17263",
    title="MELoRA: Mini-Ensemble Low-Rank Adapters for Parameter-Efficient Fine-Tuning",
    axes={"parametrization": "blocks", "init": "own", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) blockdiag(B_i A_i)",
    merges=True,
    export_rank="N r",
    fidelity="agrees with the authors' published formula and code facts",
    citation="""@article{ren2024melora,
  title={MELoRA: Mini-Ensemble Low-Rank Adapters for Parameter-Efficient Fine-Tuning},
  author={Ren, Pengjie and Shi, Chengshun and Wu, Shiguang and Zhang, Mengqi and Ren, Zhaochun and de Rijke, Maarten and Chen, Zhumin and Pei, Jiahuan},
  journal={arXiv preprint arXiv:2402.17263},
  year={2024}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=melora,
)
