"""(IA)3: Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning, Liu et al., 2022,
arXiv 2205.05638.
"""

from __future__ import annotations

from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import IA3
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def ia3(placement: str | Placement = "keys-values-down", side: Literal["auto", "out", "in"] = "auto") -> Adapter:
    """Return (IA)3: keys, values and feed-forward activations are rescaled by learned vectors that start at one."""
    return Adapter(
        rank=1, alpha=1.0, parametrization=IA3(side), init=Own(), scaling=Constant(), placement=place(placement)
    )


CARD = Card(
    name="ia3",
    arxiv="2205.05638",
    title="Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning",
    axes={"parametrization": "ia3", "init": "own", "scaling": "constant", "placement": "keys-values-down"},
    formula="y = l (W0 x) for keys and values, y = W0 (l x) where a feed-forward block ends",
    merges=True,
    export_rank="-",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{liu2022few,
  title={Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning},
  author={Liu, Haokun and Tam, Derek and Muqeeth, Mohammed and Mohta, Jay and Huang, Tenghao and Bansal, Mohit and Raffel, Colin},
  journal={arXiv preprint arXiv:2205.05638},
  year={2022}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=ia3,
)
