"""VeRA: Vector-based Random Matrix Adaptation, Kopiczko et al., 2023, arXiv 2310.11454."""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import VeRA
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def vera(
    rank: int = 256, placement: str | Placement = "all-linear", dropout: float = 0.0, d_init: float = 0.1
) -> Adapter:
    """Return VeRA: W = W0 + diag(b) B diag(d) A with one frozen random pair A, B for all layers.

    Its vectors take a learning rate about ten times LoRA's.
    """
    return Adapter(
        rank=rank,
        alpha=1.0,
        parametrization=VeRA(d_init),
        init=Own(),
        scaling=Constant(),
        placement=place(placement),
        dropout=dropout,
    )


CARD = Card(
    name="vera",
    arxiv="2310.11454",
    title="VeRA: Vector-based Random Matrix Adaptation",
    axes={"parametrization": "vera", "init": "own", "scaling": "constant"},
    formula="W = W0 + diag(b) B diag(d) A, A and B frozen and shared by all layers",
    merges=True,
    export_rank="r",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{kopiczko2023vera,
  title={VeRA: Vector-based Random Matrix Adaptation},
  author={Kopiczko, Dawid J. and Blankevoort, Tijmen and Asano, Yuki M.},
  journal={arXiv preprint arXiv:2310.11454},
  year={2023}
}""",
    build=vera,
)
