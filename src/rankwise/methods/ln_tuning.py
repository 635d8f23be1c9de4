"""LN-tuning, Tuning LayerNorm in Attention: Towards Efficient Multi-Modal LLM Finetuning, Zhao et al., 2023, arXiv
2312.11420.
"""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import NormTuning
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def ln_tuning(
    placement: str | Placement = "norms",
) -> Adapter:
    """Return LN-tuning: the gains (and biases) of the normalizations train, everything else stays."""
    return Adapter(
        rank=1, alpha=1.0, parametrization=NormTuning(), init=Own(), scaling=Constant(), placement=place(placement)
    )


CARD = Card(
    name="ln_tuning",
    arxiv="2312.11420",
    title="Tuning LayerNorm in Attention: Towards Efficient Multi-Modal LLM Finetuning",
    axes={"parametrization": "norm-tuning", "init": "own", "scaling": "constant", "placement": "norms"},
    formula="y = (W0 + w) n + bias + b, n = x normalized",
    merges=True,
    export_rank="-",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{zhao2023tuning,
  title={Tuning LayerNorm in Attention: Towards Efficient Multi-Modal LLM Finetuning},
  author={Zhao, Bingchen and Tu, Haoqin and Wei, Chen and Mei, Jieru and Xie, Cihang},
  journal={arXiv preprint arXiv:2312.11420},
  year={2023}
}""",
    build=ln_tuning,
)
