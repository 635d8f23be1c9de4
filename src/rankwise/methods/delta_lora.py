"""Delta-LoRA: Fine-Tuning High-Rank Parameters with the Delta of Low-Rank Matrices, Zi et al., 2023, arXiv
2309.02411.
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.events import DeltaUpdate
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.lora import lora


def delta_lora(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    weight: float = 2.0,
    begin: float = 0.1,
) -> Adapter:
    """Return Delta-LoRA: LoRA whose every step also moves a private copy of W by ``weight`` times the change of s B A.

    Args:
        weight: the paper's lambda; 0 is LoRA.
        begin: share of the run before W moves.
    """
    return replace(lora(rank, alpha, placement), events=(DeltaUpdate(weight=weight, begin=begin),))


CARD = Card(
    name="delta_lora",
    arxiv="2309.02411",
    title="Delta-LoRA: Fine-Tuning High-Rank Parameters with the Delta of Low-Rank Matrices",
    axes={"events": "delta-update"},
    formula="W = W0 + (alpha/r) B A + weight times how (alpha/r) B A moved",
    merges=True,
    export_rank="-",
    fidelity="agrees with the published formula; ratio and start of the base's updates not verified",
    citation="""@article{zi2023delta,
  title={Delta-LoRA: Fine-Tuning High-Rank Parameters with the Delta of Low-Rank Matrices},
  author={Zi, Bojia and Qi, Xianbiao and Wang, Lingzhi and Wang, Jianan and Wong, Kam-Fai and Zhang, Lei},
  journal={arXiv preprint arXiv:2309.02411},
  year={2023}
}""",
    build=delta_lora,
    owns_base=True,
)
