"""SVDiff: Compact Parameter Space for Diffusion Fine-Tuning, Han et al., 2023, arXiv 2303.11305."""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Spectrum
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def svdiff(
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    scale: float = 1.0,
) -> Adapter:
    """Return SVDiff: W = U diag(relu(S + scale t)) V, the shifts t of the singular values train."""
    return Adapter(
        rank=1,
        alpha=1.0,
        parametrization=Spectrum("shift", scale),
        init=Own(),
        scaling=Constant(),
        placement=place(placement),
        dropout=dropout,
    )


CARD = Card(
    name="svdiff",
    arxiv="2303.11305",
    title="SVDiff: Compact Parameter Space for Diffusion Fine-Tuning",
    axes={"parametrization": "spectrum", "init": "own", "scaling": "constant"},
    formula="W = W0 + U diag(relu(S + scale t) - S) V, W0 = U diag(S) V",
    merges=True,
    export_rank="-",
    fidelity="agrees with the authors' published formula and code facts; matrices only",
    citation="""@article{han2023svdiff,
  title={SVDiff: Compact Parameter Space for Diffusion Fine-Tuning},
  author={Han, Ligong and Li, Yinxiao and Zhang, Han and Milanfar, Peyman and Metaxas, Dimitris and Yang, Feng},
  journal={arXiv preprint arXiv:2303.11305},
  year={2023}
}""",
    build=svdiff,
)
