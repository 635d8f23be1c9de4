"""OFT, Controlling Text-to-Image Diffusion by Orthogonal Finetuning, Qiu et al., 2023, arXiv 2306.07280."""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import OrthogonalBlocks
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def oft(
    placement: str | Placement = "all-linear",
    block: int = 32,
) -> Adapter:
    """Return OFT: W = W0 R with R orthogonal in blocks.

    Args:
        block: inputs that a block turns; it must divide every d_in.
    """
    return Adapter(
        rank=1,
        alpha=1.0,
        parametrization=OrthogonalBlocks(block),
        init=Own(),
        scaling=Constant(),
        placement=place(placement),
    )


CARD = Card(
    name="oft",
    arxiv="2306.07280",
    title="Controlling Text-to-Image Diffusion by Orthogonal Finetuning",
    axes={"parametrization": "orthogonal-blocks", "init": "own", "scaling": "constant"},
    formula="W = W0 + W0 (R - I), R orthogonal in blocks",
    merges=True,
    export_rank="-",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{qiu2023controlling,
  title={Controlling Text-to-Image Diffusion by Orthogonal Finetuning},
  author={Qiu, Zeju and Liu, Weiyang and Feng, Haiwen and Xue, Yuxuan and Feng, Yao and Liu, Zhen and Zhang, Dan and Weller, Adrian and Sch{\\"o}lkopf, Bernhard},
  journal={arXiv preprint arXiv:2306.07280},
  year={2023}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=oft,
)
