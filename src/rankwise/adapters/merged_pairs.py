"""An adapter with merged pairs as the plain LoRA that it equals: how it is saved."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rankwise.adapters.adapter import Adapter
from rankwise.adapters.allocation import Uniform
from rankwise.adapters.parametrizations.frozen_pairs import merged
from rankwise.adapters.scalings import AlphaOverRank, AlphaOverSqrtRank
from rankwise.adapters.slot import Slot


def pairs(slot: Slot) -> tuple[Tensor, Tensor]:
    """Return all of a slot's low-rank pairs, merged ones last, as one A and one B, detached."""
    A, B = slot.factors["A"].detach(), slot.factors["B"].detach()
    frozen = merged(slot)
    return (torch.cat([A, frozen["A"]]), torch.cat([B, frozen["B"]], dim=1)) if frozen else (A, B)


def plain(adapter: Adapter, slots: dict[str, Slot]) -> Adapter:
    """Return the adapter as it is saved: itself, or after k merges plain LoRA of rank (k + 1) r at the same scale.

    Where events merge some modules more often than others, the rank is the highest; the file says each one's own.
    """
    if not any(merged(slot) for slot in slots.values()):
        return adapter
    rank = max(pairs(slot)[0].shape[0] for slot in slots.values())
    alpha = adapter.alpha
    if isinstance(adapter.scaling, AlphaOverRank):
        alpha = adapter.s * rank
    elif isinstance(adapter.scaling, AlphaOverSqrtRank):
        alpha = adapter.s * rank**0.5
    return replace(adapter, rank=rank, alpha=alpha, events=(), allocation=Uniform())
