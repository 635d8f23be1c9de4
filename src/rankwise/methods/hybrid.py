"""The hybrid of Parameter-Efficient Fine-Tuning for Large Models: A Comprehensive Survey, Han et al., 2024, arXiv
2403.14608: LoRA on queries, keys and values, a bottleneck adapter after the MLP, a soft prompt at the input.
"""

from __future__ import annotations

from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Hybrid
from rankwise.adapters.placements import HybridPlaces
from rankwise.methods.card import Card


def hybrid(
    rank: int = 16,
    alpha: float = 32.0,
    width: int = 64,
    tokens: int = 20,
    nonlinearity: Literal["gelu", "relu"] = "gelu",
) -> Adapter:
    """Return three families as one adapter, trained, saved and loaded together.

    Args:
        rank, alpha: of the LoRA on queries, keys and values.
        width: of the small network after the MLP, as in ``bottleneck``.
        tokens: trained embeddings in front of every input, as in ``prompt_tuning``.
    """
    return Adapter(
        rank=rank,
        alpha=alpha,
        parametrization=Hybrid(width, tokens, nonlinearity),
        init=Own(),
        placement=HybridPlaces(),
    )


CARD = Card(
    name="hybrid",
    arxiv="2403.14608",
    title="Parameter-Efficient Fine-Tuning for Large Models: A Comprehensive Survey",
    axes={"parametrization": "hybrid", "init": "own", "placement": "hybrid-places"},
    formula="y = W0 x + (alpha/r) B A x on q, k, v; z + U act(D z + c) + u after the MLP; [P; W0 x] at the input",
    merges=False,
    export_rank="-",
    fidelity="its three parts each agree with their own papers; the survey names the class, the sizes are ours",
    citation="""@article{han2024parameter,
  title={Parameter-Efficient Fine-Tuning for Large Models: A Comprehensive Survey},
  author={Han, Zeyu and Gao, Chao and Liu, Jinyang and Zhang, Jeff and Zhang, Sai Qian},
  journal={arXiv preprint arXiv:2403.14608},
  year={2024}
}""",
    build=hybrid,
)
