"""A frozen linear layer and the plain low-rank updates of its rows in one autograd function.

    y = x W^T + b + (x D^T) U^T         D: (k, d_in), U: (d_out, k), for each adapter on its own rows of x

D and U are A and s B, or [A; A - A0] and [s (B - B0), s B0] when the init keeps a frozen start (which is
``s ((B - B0) A + B0 (A - A0))``), in the dtype of x. Saved for the backward pass:
x, shared by all layers that read it, where an A trains, and the small x D^T where a B does: beside frozen A (LoRA-FA,
asymmetric LoRA) that is rank numbers a token instead of d_in. The engine uses this form; other users get the formula of
the parametrization, to which tests hold it equal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rankwise.adapters import orientation
from rankwise.adapters.hosts import Conv1D, HostKind
from rankwise.adapters.parametrizations import LowRank

if TYPE_CHECKING:
    from rankwise.adapters.layers import AdaptedLayer
    from rankwise.adapters.slot import Slot


class Segment(NamedTuple):
    """Rows ``start:stop`` of a pass belong to adapter ``name``; a stop of None stands for all rows."""

    name: str
    start: int
    stop: int | None


def is_plain(slot: Slot) -> bool:
    """Return whether ``slot`` is s B A, with or without a frozen start, and drops nothing; A or B may be frozen."""
    # Exactly this class: a subclass has another formula.
    return type(slot.parametrization) is LowRank and slot.lens is None and not (slot.training and slot.dropout)


def segmented(layer: AdaptedLayer, x: Tensor, segments: tuple[Segment, ...]) -> Tensor:
    """Return the layer's output, each adapter of ``segments`` acting on its own rows of ``x`` (..., d_in) only."""
    slots = [(s, cast("Slot", layer.adapters[s.name])) for s in segments if s.name in layer.adapters]
    plain = [(s, slot) for s, slot in slots if is_plain(slot)] if _is_plain_layer(layer, x) else []
    rest = [pair for pair in slots if pair not in plain]
    if plain:
        factors = [slot.factors[name] for _, slot in plain for name in ("A", "B")]
        y = _Linear.apply(x, layer, plain, *factors)
    else:
        y = layer.untouched(x)
    return _with_updates(layer, x, y, rest) if rest else y


def _with_updates(layer: AdaptedLayer, x: Tensor, y: Tensor, slots: list[tuple[Segment, Slot]]) -> Tensor:
    """Add the updates that have a formula of their own, piece by piece: no row meets another adapter's numbers."""
    ids = not x.is_floating_point()  # of an embedding
    wide = x.reshape(-1) if ids else x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    pieces, done = [], 0
    for (_, start, stop), slot in slots:
        if stop is None:
            x = x.view_as(x)  # as a slice is: the update's own gradients of x are summed first, packed or alone
            return y + layer.update(slot, x, y)
        rows, base = (t[start:stop] for t in wide)
        pieces += [wide[1][done:start], base + layer.update(slot, rows, base)]
        done = stop
    return torch.cat([*pieces, wide[1][done:]]).view(y.shape)


def _is_plain_layer(layer: AdaptedLayer, x: Tensor) -> bool:
    original = type(layer).__mro__[2]
    known = original is nn.Linear or (orientation.is_conv1d(layer) and original.__name__ == "Conv1D")
    # Codes are read again for the backward pass, which this function would keep the numbers for.
    known = known and layer.stored is None
    # Measured on CPU; elsewhere the formulas of the parametrizations stay in charge.
    return known and x.device.type == "cpu" and not layer.weight.requires_grad and layer.weight.dtype == x.dtype


_held: ContextVar[dict[tuple[int, torch.dtype], tuple[Slot, Tensor, Tensor]] | None] = ContextVar("held", default=None)


@contextlib.contextmanager
def held_factors() -> Iterator[None]:
    """Promise that no factor changes inside the block: each is cast once, not once a pass.

    A block, because nothing tells that a factor changed: a fused optimizer leaves its version counter as it was.
    """
    token = _held.set({})
    try:
        yield
    finally:
        _held.reset(token)


def _pair(slot: Slot, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return (D, U) in ``dtype``; differences and the scale are taken in the factors' own precision."""
    held = _held.get()
    if held is not None and (found := held.get((id(slot), dtype))):
        return found[1:]
    A, B = (slot.factors[name].detach() for name in ("A", "B"))
    D, U = A, slot.scaling * B
    if start := slot.start:
        D = torch.cat([A, A - start["A"]])
        U = slot.scaling * torch.cat([B - start["B"], start["B"]], dim=1)
    D, U = D.to(dtype), U.to(dtype)
    if held is not None:
        held[id(slot), dtype] = slot, D, U  # the slot too: its id must stay its own
    return D, U


class _Linear(torch.autograd.Function):
    """The formula at the top of this file; gradients of the rows of one adapter never meet another's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: AdaptedLayer, slots: Any, *factors: Tensor) -> Tensor:
        kind: HostKind = slots[0][1].kind
        W, bias = kind.weight(layer), cast("Tensor | None", layer.bias)
        rows = x.reshape(-1, x.shape[-1])
        if isinstance(kind, Conv1D) and bias is not None:
            y = torch.addmm(bias, rows, W.T)
        else:
            y = linear(rows, W, bias)
        trains = ctx.needs_input_grad[3:]  # A and B of every slot in turn
        saved = [rows if any(trains[::2]) else None]
        pairs = []
        for i, ((_, start, stop), slot) in enumerate(slots):
            D, U = _pair(slot, x.dtype)
            thin = rows[start:stop] @ D.T
            y[start:stop].addmm_(thin, U.T)
            pairs.append((D, U))
            saved += [thin if trains[2 * i + 1] else None]
        ctx.save_for_backward(*saved)
        ctx.W, ctx.slots, ctx.pairs, ctx.shape = W, slots, pairs, x.shape
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
        x, *thins = ctx.saved_tensors
        dy = dy.reshape(-1, dy.shape[-1])
        dx = dy @ ctx.W if ctx.needs_input_grad[0] else None
        gradients: list[Tensor | None] = []
        trains = ctx.needs_input_grad[3:]
        for i, (((_, start, stop), slot), (D, U), thin) in enumerate(zip(ctx.slots, ctx.pairs, thins, strict=True)):
            own = dy[start:stop]
            d_thin = own @ U
            if dx is not None:
                dx[start:stop].addmm_(d_thin, D)
            A, B = slot.factors["A"], slot.factors["B"]
            rank = A.shape[0]
            dA = dB = None
            if trains[2 * i]:
                dD = (d_thin.T @ x[start:stop]).to(A.dtype)
                dA = dD if dD.shape[0] == rank else dD[:rank] + dD[rank:]  # with a start, D holds A twice
            if trains[2 * i + 1]:
                dB = (own.T @ thin[:, :rank]).to(B.dtype).mul_(slot.scaling)
            gradients += [dA, dB]
        return (None if dx is None else dx.view(ctx.shape), None, None, *gradients)
