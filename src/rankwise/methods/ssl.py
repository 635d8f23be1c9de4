"""SSL, See Further for Parameter Efficient Fine-tuning by Standing on the Shoulders of Decomposition, Si et al., 2024,
arXiv 2407.05417.
"""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Gains
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def ssl(
    placement: str | Placement = "all-linear",
) -> Adapter:
    """Return SSL: W = W0 diag(a), one gain for every input."""
    return Adapter(
        rank=1, alpha=1.0, parametrization=Gains("inputs"), init=Own(), scaling=Constant(), placement=place(placement)
    )


CARD = Card(
    name="ssl",
    arxiv="2407.05417",
    title="See Further for Parameter Efficient Fine-tuning by Standing on the Shoulders of Decomposition",
    axes={"parametrization": "gains", "init": "own", "scaling": "constant"},
    formula="W = W0 + W0 diag(a - 1)",
    merges=True,
    export_rank="-",
    fidelity="agrees with the authors' published formula and code facts",
    citation="""@article{si2024see,
  title={See Further for Parameter Efficient Fine-tuning by Standing on the Shoulders of Decomposition},
  author={Si, Chongjie and Yang, Xiaokang and Shen, Wei},
  journal={arXiv preprint arXiv:2407.05417},
  year={2024}
}""",
    build=ssl,
)
