"""SAM-PARSER: Fine-tuning SAM Efficiently by Parameter Space Reconstruction, Peng et al., 2023, arXiv 2308.14604."""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Spectrum
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def sam_parser(
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
) -> Adapter:
    """Return SAM-PARSER: the singular values of W0 train, between frozen singular vectors."""
    return Adapter(
        rank=1,
        alpha=1.0,
        parametrization=Spectrum(),
        init=Own(),
        scaling=Constant(),
        placement=place(placement),
        dropout=dropout,
    )


CARD = Card(
    name="sam_parser",
    arxiv="2308.14604",
    title="SAM-PARSER: Fine-tuning SAM Efficiently by Parameter Space Reconstruction",
    axes={"parametrization": "spectrum", "init": "own", "scaling": "constant"},
    formula="W = W0 + U diag(t - S) V, W0 = U diag(S) V",
    merges=True,
    export_rank="-",
    fidelity="formula only",
    citation="""@article{peng2023sam,
  title={SAM-PARSER: Fine-tuning SAM Efficiently by Parameter Space Reconstruction},
  author={Peng, Zelin and Xu, Zhengqin and Zeng, Zhilin and Yang, Xiaokang and Shen, Wei},
  journal={arXiv preprint arXiv:2308.14604},
  year={2023}
}""",
    build=sam_parser,
)
