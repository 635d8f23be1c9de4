"""BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models, Ben Zaken et al., 2021,
arXiv 2106.10199.
"""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import BiasShift
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def bitfit(placement: str | Placement = "biases") -> Adapter:
    """Return BitFit: every bias trains, normalizations' included, and nothing else."""
    return Adapter(
        rank=1, alpha=1.0, parametrization=BiasShift(), init=Own(), scaling=Constant(), placement=place(placement)
    )


CARD = Card(
    name="bitfit",
    arxiv="2106.10199",
    title="BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models",
    axes={"parametrization": "bias", "init": "own", "scaling": "constant", "placement": "biases"},
    formula="y = W0 x + bias + d",
    merges=True,
    export_rank="-",
    fidelity="agrees with training the biases themselves; the task head is not included",
    citation="""@article{zaken2021bitfit,
  title={BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models},
  author={Ben Zaken, Elad and Ravfogel, Shauli and Goldberg, Yoav},
  journal={arXiv preprint arXiv:2106.10199},
  year={2021}
}""",
    build=bitfit,
)
