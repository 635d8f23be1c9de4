"""LoKr, Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to Model Evaluation, Yeh et al., 2023, arXiv
2309.14859.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Kronecker
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def lokr(
    rank: int = 8,
    alpha: float = 8.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    factor: int = -1,
) -> Adapter:
    """Return LoKr: W = W0 + (alpha / rank) kron(C, B A).

    Args:
        factor: the smaller part of each side; -1 takes the divisor nearest the square root.
    """
    return replace(lora(rank, alpha, placement, dropout), parametrization=Kronecker(factor), init=Own())


CARD = Card(
    name="lokr",
    arxiv="2309.14859",
    title="Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to Model Evaluation",
    axes={"parametrization": "kronecker", "init": "own", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) kron(C, B A)",
    merges=True,
    export_rank="r min(m1, n1)",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{yeh2023navigating,
  title={Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to Model Evaluation},
  author={Yeh, Shih-Ying and Hsieh, Yu-Guan and Gao, Zhidong and Yang, Bernard B W and Oh, Giyeong and Gong, Yanmin},
  journal={arXiv preprint arXiv:2309.14859},
  year={2023}
}""",
    build=lokr,
)
