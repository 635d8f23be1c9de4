"""LongLoRA: Efficient Fine-tuning of Long-Context Large Language Models, Chen et al., 2023, arXiv 2309.12307."""

from __future__ import annotations

from rankwise.adapters import Adapter
from rankwise.adapters.events import ShiftedAttention
from rankwise.adapters.inits import Own
from rankwise.adapters.parametrizations import LongContext
from rankwise.adapters.placements import LongContextPlaces
from rankwise.methods.card import Card


def longlora(rank: int = 8, alpha: float = 16.0, group: int | None = None) -> Adapter:
    """Return LoRA on attention's projections with trained normalizations and input embeddings, as the paper trains.

    Args:
        group: tokens, an even number, within which training attends (shifted sparse attention: saves time on inputs of
            several groups; the paper takes a quarter of the context). Scoring and inference attend to everything. None:
            training does, too.
    """
    return Adapter(
        rank=rank,
        alpha=alpha,
        parametrization=LongContext(),
        init=Own(),
        placement=LongContextPlaces(),
        events=() if group is None else (ShiftedAttention(group),),
    )


CARD = Card(
    name="longlora",
    arxiv="2309.12307",
    title="LongLoRA: Efficient Fine-tuning of Long-Context Large Language Models",
    axes={"parametrization": "long-context", "init": "own", "placement": "long-context-places"},
    formula="y = (W0 + (alpha/r) B A) x on q, k, v, o; (W0 + w) n + bias + b on norms; W0 + D on the input embeddings; "
    "with group = G, training attends within G tokens, moved by G/2 in half of the heads",
    merges=True,
    export_rank="-",
    fidelity="agrees with the authors' published formula and defaults; shifted sparse attention as in their flash-"
    "attention code: no group wraps around the end",
    citation="""@article{chen2023longlora,
  title={LongLoRA: Efficient Fine-tuning of Long-Context Large Language Models},
  author={Chen, Yukang and Qian, Shengju and Tang, Haotian and Lai, Xin and Liu, Zhijian and Han, Song and Jia, Jiaya},
  journal={arXiv preprint arXiv:2309.12307},
  year={2023}
}""",
    build=longlora,
)
