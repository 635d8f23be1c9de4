"""The Power of Scale for Parameter-Efficient Prompt Tuning, Lester et al., 2021, arXiv 2104.08691."""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import SoftPrompt
from rankwise.adapters.placements import InputEmbeddings
from rankwise.adapters.scalings import Constant
from rankwise.methods.card import Card


def prompt_tuning(
    tokens: int = 20,
) -> Adapter:
    """Return prompt tuning: ``tokens`` trained embeddings in front of every input; nothing else changes."""
    return Adapter(
        rank=1,
        alpha=1.0,
        parametrization=SoftPrompt(tokens),
        init=Own(),
        scaling=Constant(),
        placement=InputEmbeddings(),
    )


CARD = Card(
    name="prompt_tuning",
    arxiv="2104.08691",
    title="The Power of Scale for Parameter-Efficient Prompt Tuning",
    axes={"parametrization": "soft-prompt", "init": "own", "scaling": "constant", "placement": "input-embeddings"},
    formula="y = [P; W0 x], P trained embeddings",
    merges=False,
    export_rank="-",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{lester2021power,
  title={The Power of Scale for Parameter-Efficient Prompt Tuning},
  author={Lester, Brian and Al-Rfou, Rami and Constant, Noah},
  journal={arXiv preprint arXiv:2104.08691},
  year={2021}
}""",
    build=prompt_tuning,
)
