"""Attention of a pass whose parts do not all attend alike: each part by itself, with the bits it has alone.

A part with a pattern (:mod:`rankwise.models.attention_pattern`) has a call for every kind of its heads, for each sees
another cut of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from rankwise.engine.fast.attention import attend
from rankwise.engine.fast.layout import Layout

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
        kinds = (rows,) if len(piece.kinds) == 1 else _by_kind(*rows, piece.pattern.heads(q.shape[1]))
        out = [attend(*own, kind, scaling, window, softcap) for own, kind in zip(kinds, piece.kinds, strict=True)]
        found.append(torch.cat(out, 1))
    return torch.cat(found)


def _by_kind(q: Tensor, k: Tensor, v: Tensor, sizes: Sequence[int]) -> tuple[Heads, ...]:
    """Return the heads of every kind; where two kinds share a key and value head, every query gets its own copies."""
    repeats = q.shape[1] // k.shape[1]
    if any(size % repeats for size in sizes):
        k, v = (x.repeat_interleave(repeats, 1) for x in (k, v))
        repeats = 1
    shared = [size // repeats for size in sizes]
    return tuple(zip(q.split(list(sizes), 1), k.split(shared, 1), v.split(shared, 1), strict=True))
