"""Flora: Low-Rank Adapters Are Secretly Gradient Compressors, Hao et al., 2024, arXiv 2402.03293.

By default the rank is at most a quarter of a matrix's smaller side, and a short run changes its subspace three times
all the same, which the paper's 1000 steps would not let it.

Named after what it does (gradient compression): another FLoRA adapts in a core space (2405.14739).
"""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.optimizers import Flora
from rankwise.adapters.optimizers.compressed import left_open
from rankwise.adapters.placements import Placement
from rankwise.methods.card import Card
from rankwise.methods.galore import galore


def flora_gc(
    rank: int | None = None,
    placement: str | Placement = "all-linear",
    every: int | None = None,
) -> Adapter:
    """Return training of whole weights with momentum in a random subspace of ``rank``, new every ``every`` steps.

    Args:
        rank: None: 128, and at most a quarter of a matrix's smaller side.
        every: None: 1000, fewer in runs of less than 4000 steps, so that three new ones come in any.
    """
    return replace(galore(placement=placement), optimizer=Flora(**left_open(rank, every, 1000)))


CARD = Card(
    name="flora_gc",
    arxiv="2402.03293",
    title="Flora: Low-Rank Adapters Are Secretly Gradient Compressors",
    axes={"parametrization": "whole-matrix", "init": "own", "optimizer": "flora"},
    formula="W = W0 + D, D moved by P^T m",
    merges=True,
    export_rank="-",
    fidelity="agrees with the authors' published formula and code facts; accumulation not compressed",
    citation="""@article{hao2024flora,
  title={Flora: Low-Rank Adapters Are Secretly Gradient Compressors},
  author={Hao, Yongchang and Cao, Yanshuai and Mou, Lili},
  journal={arXiv preprint arXiv:2402.03293},
  year={2024}
}""",
    build=flora_gc,
)
