"""Attention of a pass whose parts do not all attend alike: each part by itself, with the bits it has alone.

Within groups (:class:`rankwise.adapters.events.ShiftedAttention`) half of the heads see another cut of the rows than
the other half, so each half is a call of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rankwise.engine.fast.attention import attend
from rankwise.engine.fast.layout import Layout
from rankwise.errors import UsageError

Heads = tuple[Tensor, Tensor, Tensor]  # queries (T, H, D), keys and values (T, G, D)


def attend_pieces(
    q: Tensor, k: Tensor, v: Tensor, layout: Layout, scaling: float, window: int | None, softcap: float | None
) -> Tensor:
    """As :func:`rankwise.engine.fast.attention.attend`, with each of the layout's pieces in its own way."""
    if not layout.pieces:
        return attend(q, k, v, layout, scaling, window, softcap)
    sizes = [piece.stop - piece.start for piece in layout.pieces]
    # Split, not sliced: a slice's gradient is added to zeros, which turns -0.0 into 0.0.
    parts: Iterator[Heads] = zip(q.split(sizes), k.split(sizes), v.split(sizes), strict=True)
    found = []
    for piece, rows in zip(layout.pieces, parts, strict=True):
        kinds: tuple[Heads, ...] = (rows,) if len(piece.kinds) == 1 else _halves(*rows)
        out = [attend(*own, kind, scaling, window, softcap) for own, kind in zip(kinds, piece.kinds, strict=True)]
        found.append(torch.cat(out, 1))
    return torch.cat(found)


def still(heads: int) -> int:
    """Return how many of ``heads`` keep their groups in place: the first half, the smaller one of an odd number.

    Raises:
        UsageError: there are not two of them.
    """
    if heads < 2:
        raise UsageError(f"shifted sparse attention moves half of the heads and needs 2 or more, found {heads}.")
    return heads // 2


def _halves(q: Tensor, k: Tensor, v: Tensor) -> tuple[Heads, Heads]:
    """Return both halves of the heads; where they share a key and value head, every query gets its own copies."""
    heads = q.shape[1]
    first, repeats = still(heads), heads // k.shape[1]
    if first % repeats:
        k, v = (x.repeat_interleave(repeats, 1) for x in (k, v))
        repeats = 1
    shared = [first // repeats, k.shape[1] - first // repeats]
    one, other = zip(q.split([first, heads - first], 1), k.split(shared, 1), v.split(shared, 1), strict=True)
    return one, other
