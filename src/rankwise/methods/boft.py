"""BOFT, Parameter-Efficient Orthogonal Finetuning via Butterfly Factorization, Liu et al., 2023, arXiv 2311.06243."""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Butterfly
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def boft(
    placement: str | Placement = "all-linear",
    block: int = 4,
    factors: int = 1,
) -> Adapter:
    """Return BOFT: W = diag(g) W0 R with R a product of butterfly factors.

    Args:
        block: inputs that a block turns.
        factors: of the product; block x 2^(factors - 1) must divide every d_in.
    """
    return Adapter(
        rank=1,
        alpha=1.0,
        parametrization=Butterfly(block, factors),
        init=Own(),
        scaling=Constant(),
        placement=place(placement),
    )


CARD = Card(
    name="boft",
    arxiv="2311.06243",
    title="Parameter-Efficient Orthogonal Finetuning via Butterfly Factorization",
    axes={"parametrization": "butterfly", "init": "own", "scaling": "constant"},
    formula="W = W0 + (diag(g) W0 R - W0), R a product of butterfly factors",
    merges=True,
    export_rank="-",
    fidelity="agrees with PEFT's implementation for one factor, with the authors' formula for more",
    citation="""@article{liu2023parameter,
  title={Parameter-Efficient Orthogonal Finetuning via Butterfly Factorization},
  author={Liu, Weiyang and Qiu, Zeju and Feng, Yao and Xiu, Yuliang and Xue, Yuxuan and Yu, Longhui and Feng, Haiwen and Liu, Zhen and Heo, Juyeon and Peng, Songyou and Wen, Yandong and Black, Michael J. and Weller, Adrian and Sch{\\"o}lkopf, Bernhard},
  journal={arXiv preprint arXiv:2311.06243},
  year={2023}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=boft,
)
