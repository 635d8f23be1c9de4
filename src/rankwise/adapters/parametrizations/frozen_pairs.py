"""A low-rank update with earlier updates frozen beside it: what merging and restarting leaves.

    W = W0 + s * (B @ A + B_m @ A_m)        A: (rank, d_in), B: (d_out, rank); A_m: (k rank, d_in), B_m: (d_out, k rank)

A_m and B_m hold k merged pairs, one under the other, in the factors' own precision: W0 is not edited
(docs/design/methods.md#the-frozen-start), no update is rounded into it, and the whole is plain LoRA of rank (k + 1)
rank. Dropout acts on the trained pair only, as it would if the merged ones were in W0. A slot gets this form from
:func:`freeze_update`, never from a spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, Shapes, project
from rankwise.adapters.parametrizations.low_rank import LowRank

if TYPE_CHECKING:
    from rankwise.adapters.slot import Slot

_A, _B = "merged_A", "merged_B"


@dataclass(frozen=True)
class Chained(Delta):
    """B A plus frozen pairs."""

    name: ClassVar[str] = "chained"

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """As LoRA: the merged pairs do not train."""
        return LowRank().shapes(d_out, d_in, rank)

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """Two thin products for the trained pair, two for the merged ones."""
        x = x.view_as(x)  # one use of the caller's x: its gradient is then summed in one order, packed or alone
        h = project(x, start[_A])
        merged = linear(h, start[_B].to(h.dtype))
        return merged + LowRank().apply(x, factors, {}, drop)

    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Dense B A + B_m A_m."""
        return factors["B"] @ factors["A"] + start[_B] @ start[_A]

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor] | None:
        """[A; A_m] and s [B, B_m]: plain LoRA of rank (k + 1) r."""
        A, B = torch.cat([factors["A"], start[_A]]), torch.cat([factors["B"], start[_B]], dim=1)
        return A, host.scaling * B

    def formula(self, scale: str, edits_base: bool) -> str:
        """Return for instance ``(32/16) (B A + sum of merged B_i A_i)``."""
        return f"{scale} (B A + sum of merged B_i A_i)"


def freeze_update(slot: Slot) -> None:
    """Add the slot's update of this moment to its frozen part; the factors keep their values."""
    A, B = slot.factors["A"].detach().clone(), slot.factors["B"].detach().clone()
    earlier = merged(slot)
    if earlier:
        A, B = torch.cat([earlier["A"], A]), torch.cat([earlier["B"], B], dim=1)
    set_merged(slot, {"A": A, "B": B})


def merged(slot: Slot) -> dict[str, Tensor]:
    """Return the frozen pairs, ``A`` (k rank, d_in) and ``B`` (d_out, k rank); empty when nothing was merged."""
    if not isinstance(slot.parametrization, Chained):
        return {}
    return {"A": slot.start[_A], "B": slot.start[_B]}


def set_merged(slot: Slot, pairs: Mapping[str, Tensor]) -> None:
    """Give the slot these frozen pairs, or none."""
    if not pairs:
        if isinstance(slot.parametrization, Chained):
            del slot._buffers[_A], slot._buffers[_B]
            slot.parametrization = LowRank()
        return
    device = slot.factors["A"].device
    for name, value in ((_A, pairs["A"]), (_B, pairs["B"])):
        slot.register_buffer(name, value.to(device).contiguous())
    slot.parametrization = Chained()
