"""Bottleneck adapters, Parameter-Efficient Transfer Learning for NLP, Houlsby et al., 2019, arXiv 1902.00751."""

from __future__ import annotations

from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Bottleneck
from rankwise.adapters.placements import BlockOutputs, Placement
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place


def bottleneck(
    rank: int = 64,
    placement: str | Placement | None = None,
    nonlinearity: Literal["gelu", "relu"] = "gelu",
    after: Literal["both", "feed-forward"] = "both",
) -> Adapter:
    """Return bottleneck adapters: a small network of width ``rank`` after attention and the feed-forward block.

    Args:
        placement: where else; without one, where ``after`` says.
        after: "both" blocks, or the "feed-forward" block only (Pfeiffer et al., 2020, arXiv 2005.00247).
    """
    return Adapter(
        rank=rank,
        alpha=1.0,
        parametrization=Bottleneck(nonlinearity),
        init=Own(),
        scaling=Constant(),
        placement=BlockOutputs(after) if placement is None else place(placement),
    )


CARD = Card(
    name="bottleneck",
    arxiv="1902.00751",
    title="Parameter-Efficient Transfer Learning for NLP",
    axes={"parametrization": "bottleneck", "init": "own", "scaling": "constant", "placement": "block-outputs"},
    formula="y = z + U act(D z + c) + u, z = W0 x",
    merges=False,
    export_rank="-",
    fidelity="agrees with the authors' published formula and code facts",
    citation="""@article{houlsby2019parameter,
  title={Parameter-Efficient Transfer Learning for NLP},
  author={Houlsby, Neil and Giurgiu, Andrei and Jastrzebski, Stanislaw and Morrone, Bruna and de Laroussilhe, Quentin and Gesmundo, Andrea and Attariyan, Mona and Gelly, Sylvain},
  journal={arXiv preprint arXiv:1902.00751},
  year={2019}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=bottleneck,
)
