"""MiSS: Revisiting the Trade-off in LoRA with an Efficient Shard-Sharing Structure, Kang and Yin, 2024, arXiv
2409.15371.
"""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Shards
from rankwise.adapters.placements import Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def miss(
    rank: int = 64,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
) -> Adapter:
    """Return MiSS (first named Bone): W = W0 + D [I ... I], the input's shards summed before one matrix."""
    return Adapter(
        rank=rank,
        alpha=1.0,
        parametrization=Shards(),
        init=Own(),
        scaling=Constant(),
        placement=place(placement),
        dropout=dropout,
    )


CARD = Card(
    name="miss",
    arxiv="2409.15371",
    title="MiSS: Revisiting the Trade-off in LoRA with an Efficient Shard-Sharing Structure",
    axes={"parametrization": "shards", "init": "own", "scaling": "constant"},
    formula="W = W0 + D [I ... I]",
    merges=True,
    export_rank="r",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{kang2024miss,
  title={MiSS: Revisiting the Trade-off in LoRA with an Efficient Shard-Sharing Structure},
  author={Kang, Jiale and Yin, Qingyu},
  journal={arXiv preprint arXiv:2409.15371},
  year={2024}
}""",
    build=miss,
)
