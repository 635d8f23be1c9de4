"""Prefix-Tuning: Optimizing Continuous Prompts for Generation, Li and Liang, 2021, arXiv 2101.00190."""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import Prefix
from rankwise.adapters.placements import KeysValues
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card


def prefix_tuning(
    tokens: int = 20,
) -> Adapter:
    """Return prefix tuning: ``tokens`` trained keys and values in front of every layer's own."""
    return Adapter(
        rank=1, alpha=1.0, parametrization=Prefix(tokens), init=Own(), scaling=Constant(), placement=KeysValues()
    )


CARD = Card(
    name="prefix_tuning",
    arxiv="2101.00190",
    title="Prefix-Tuning: Optimizing Continuous Prompts for Generation",
    axes={"parametrization": "prefix", "init": "own", "scaling": "constant", "placement": "keys-values"},
    formula="y = [P; W0 x] for keys and values, P trained rows",
    merges=False,
    export_rank="-",
    fidelity="agrees with PEFT's implementation; without the network that makes prefixes while training",
    citation="""@article{li2021prefix,
  title={Prefix-Tuning: Optimizing Continuous Prompts for Generation},
  author={Li, Xiang Lisa and Liang, Percy},
  journal={arXiv preprint arXiv:2101.00190},
  year={2021}
}""",
    build=prefix_tuning,
)
