"""NOLA: Compressing LoRA using Linear Combination of Random Basis, Koohpayegani et al., 2023, arXiv 2310.02556."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import RandomBasis
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def nola(
    rank: int = 8,
    alpha: float = 16.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    bases: int = 64,
    seed: int = 0,
) -> Adapter:
    """Return NOLA: A and B are mixtures of random matrices that come back from a seed; 2 x bases parameters a layer.

    Args:
        bases: random matrices for A, and for B; the authors use 256 to 1024.
        seed: of the matrices.
    """
    return replace(lora(rank, alpha, placement, dropout), parametrization=RandomBasis(bases, seed), init=Own())


CARD = Card(
    name="nola",
    arxiv="2310.02556",
    title="NOLA: Compressing LoRA using Linear Combination of Random Basis",
    axes={"parametrization": "random-basis", "init": "own", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) B A, A = A_0 + sum a_i R_i / sqrt(k), B = sum b_j Q_j / sqrt(k)",
    merges=True,
    export_rank="r",
    fidelity="agrees with the authors' published formula and code facts; bases kept in memory, one bank per width",
    citation="""@article{koohpayegani2023nola,
  title={NOLA: Compressing LoRA using Linear Combination of Random Basis},
  author={Koohpayegani, Soroush Abbasi and Navaneet, KL and Nooralinejad, Parsa and Kolouri, Soheil and Pirsiavash, Hamed},
  journal={arXiv preprint arXiv:2310.02556},
  year={2023}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=nola,
)
