"""LoRA: Low-Rank Adaptation of Large Language Models, Hu et al., 2021, arXiv 2106.09685."""

from __future__ import annotations

from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.axis import resolve
from rankwise.adapters.inits import INITS, Init, Kaiming, Own
from rankwise.adapters.parametrizations import ExpertLowRank, LowRank, Parametrization, Slices
from rankwise.adapters.placements import Experts, Placement, Regex, Suffixes
from rankwise.errors import UsageError, unknown
from rankwise.methods.card import Card
from rankwise.methods.placement_names import placement as place

_QKV = ("q", "k", "v")


def lora(
    rank: int = 16,
    alpha: float = 32.0,
    placement: str | Placement = "all-linear",
    dropout: float = 0.0,
    init: str | Init = "kaiming",
    experts: Literal["whole", "divided"] = "whole",
    slices: str = "",
    slice_sizes: tuple[int, ...] = (),
) -> Adapter:
    """Return LoRA: W = W0 + (alpha / rank) B A.

    Placement "experts" is for mixtures whose experts are three-dimensional parameters: every expert gets its own pair.

    Args:
        rank: inner dimension of every pair.
        alpha: numerator of the scaling.
        placement: which layers are adapted.
        dropout: probability of dropping an input of the adapter path.
        init: how A and B start.
        experts: with placement "experts", the rank of an expert's pair: the ``whole`` rank, or ``divided`` by the
            experts that serve a token.
        slices: of fused layers, those of query, key and value that get a pair each, such as "q,v"; the other rows keep
            the base's values. ``placement`` must name the fused layers, such as "c_attn" or "qkv_proj".
        slice_sizes: rows of query, key and value, where they differ (grouped queries).

    Raises:
        UsageError: an option without the placement it is for.
    """
    where, start = place(placement), resolve("init", INITS, init)
    shape: Parametrization = LowRank()
    if experts not in ("whole", "divided"):
        raise UsageError(f"experts must be 'whole' or 'divided', found {experts!r}.")
    if isinstance(where, Experts):
        shape = ExpertLowRank(divided=experts == "divided")
    elif experts == "divided":
        raise UsageError("experts='divided' is about mixtures of experts; it needs placement 'experts'.")
    if slices or slice_sizes:
        shape = _slices(slices, tuple(slice_sizes), where)
    if not shape.needs and start == Kaiming():
        start = Own()  # which is how pairs of experts and of slices start themselves
    return Adapter(rank=rank, alpha=alpha, parametrization=shape, placement=where, dropout=dropout, init=start)


def _slices(text: str, sizes: tuple[int, ...], where: Placement) -> Slices:
    """Read ``"q,v"``."""
    on = [part.strip() for part in text.split(",") if part.strip()]
    if not on:
        raise UsageError("slice_sizes is about slices; say which, such as slices='q,v'.")
    for part in on:
        if part not in _QKV:
            raise unknown("slice", part, _QKV)
    if not isinstance(where, (Suffixes, Regex)):
        raise UsageError(
            f"slices={text!r} are parts of fused layers; name those with placement, such as 'c_attn' or 'qkv_proj', "
            f"found {where.describe()}."
        )
    return Slices(tuple(name in on for name in _QKV), sizes)


CARD = Card(
    name="lora",
    arxiv="2106.09685",
    title="LoRA: Low-Rank Adaptation of Large Language Models",
    axes={"parametrization": "low-rank", "init": "kaiming", "scaling": "alpha/r"},
    formula="W = W0 + (alpha/r) B A",
    merges=True,
    export_rank="r",
    fidelity="agrees with PEFT's implementation",
    citation="""@article{hu2021lora,
  title={LoRA: Low-Rank Adaptation of Large Language Models},
  author={Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and Wang, Shean and Wang, Lu and Chen, Weizhu},
  journal={arXiv preprint arXiv:2106.09685},
  year={2021}
}""",  # noqa: E501 (BibTeX keeps one author list on one line)
    build=lora,
)
