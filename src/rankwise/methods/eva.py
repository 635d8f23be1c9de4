"""EVA: One Initialization to Rule Them All: Fine-tuning via Explained Variance Adaptation, Paischer et al., 2024,
arXiv 2410.07170.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import EVA
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def eva(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    rho: float = 2.0,
    whiten: bool = False,
) -> Adapter:
    """Return LoRA whose A starts at the principal components of each layer's inputs, ranks shared out by variance.

    Needs ``attach(..., data=batches)``.

    Args:
        rho: a layer gets at most rho x rank; 1 keeps every layer at ``rank``.
        whiten: divide each component by its standard deviation.
    """
    return replace(lora(rank, alpha, placement, dropout), init=EVA(rho, whiten))


CARD = Card(
    name="eva",
    arxiv="2410.07170",
    title="One Initialization to Rule Them All: Fine-tuning via Explained Variance Adaptation",
    axes={"parametrization": "low-rank", "init": "eva", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) B A, A = r_l principal components of the inputs, sum of r_l = layers x r",
    merges=True,
    export_rank="r",
    fidelity="agrees with the published formula, with exact covariances; components agree with PEFT's incremental PCA",
    citation="""@article{paischer2024one,
  title={One Initialization to Rule Them All: Fine-tuning via Explained Variance Adaptation},
  author={Paischer, Fabian and Hauzenberger, Lukas and Schmied, Thomas and Alkin, Benedikt and Deisenroth, Marc Peter and Hochreiter, Sepp},
  journal={arXiv preprint arXiv:2410.07170},
  year={2024}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=eva,
)
