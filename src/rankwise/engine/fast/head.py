"""Negative log-likelihood of the targets, with the gradient of the logits formed in the forward pass.

    logits = h W^T + b      nll = -log softmax(logits)[next]      d nll / d logits = softmax(logits) - onehot(next)

Logits exist for a few hundred targets at a time: one product makes them, softmax is taken in float32 (or wider), the
gradient is written over them in their own dtype, and a second product turns it into the gradient of ``h``. Nothing of
the size of the vocabulary is left for the backward pass, unless the head trains: then the gradients of the logits are.

Shapes: M targets, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

# Logits held at once; 256 rows of 49,152 words, below which reading W takes longer than multiplying by it.
_ELEMENTS = 256 * 49152
_LEAST_ROWS = 64


def target_nll(
    h: Tensor, W: Tensor, bias: Tensor | None, next_ids: Tensor, counts: Sequence[int], together: int | None
) -> Tensor:
    """Return the negative log-likelihood of every target, (M,), float32 or wider.

    Args:
        h: (M, D) hidden states at the positions that predict; W: (V, D); bias: (V,), frozen, or None.
        next_ids: (M,) the targets.
        counts: targets of every part; the rows of a part are cut in the same way whatever comes beside it.
        together: parts of at least this many rows may share a product (see rows.py); None: none may.
    """
    cut = _cut(counts, max(_LEAST_ROWS, _ELEMENTS // W.shape[0]), together)
    if torch.is_grad_enabled() and (h.requires_grad or W.requires_grad):
        return _TargetNll.apply(h, W, bias, next_ids, cut)
    return torch.cat([_chunk(h[rows], W, bias, next_ids[rows])[0] for rows in cut])


def _cut(counts: Sequence[int], limit: int, together: int | None) -> list[slice]:
    """Cut every part into even chunks of at most ``limit`` rows and join small neighbors where that is allowed."""
    sizes: list[int] = []
    joinable = False
    for count in counts:
        chunks = -(-count // limit)
        for i in range(chunks):
            size = count * (i + 1) // chunks - count * i // chunks
            fits = together is not None and size >= together
            if fits and joinable and sizes[-1] + size <= limit:
                sizes[-1] += size
            else:
                sizes.append(size)
            joinable = fits
    cut, start = [], 0
    for size in sizes:
        cut.append(slice(start, start + size))
        start += size
    return cut


def _chunk(h: Tensor, W: Tensor, bias: Tensor | None, next_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return nll (m,), the logits (m, V) in the dtype of ``h``, and their softmax in float32 or wider."""
    logits = linear(h, W, bias)
    wide = torch.promote_types(logits.dtype, torch.float32)
    P = logits.to(wide, copy=True)
    torch.softmax(P, -1, out=P)
    likelihood = P.gather(1, next_ids[:, None])[:, 0]
    nll = -torch.log(likelihood)
    lost = ~(likelihood > torch.finfo(wide).tiny)
    if bool(lost.any()):  # probabilities that underflowed take the long way: those rows only, for a neighbor's sake
        exact = logits[lost].to(wide)
        nll[lost] = torch.logsumexp(exact, -1) - exact.gather(1, next_ids[lost, None])[:, 0]
    return nll, logits, P


class _TargetNll(torch.autograd.Function):
    """The formulas at the top of this file."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, W: Tensor, bias: Tensor | None, next_ids: Tensor, cut: list[slice]) -> Tensor:
        head_trains = ctx.needs_input_grad[1]
        nll, dh, gradients = [], [], []
        for rows in cut:
            part, logits, P = _chunk(h[rows], W, bias, next_ids[rows])
            P[torch.arange(len(part), device=P.device), next_ids[rows]] -= 1
            logits.copy_(P)
            nll.append(part)
            dh.append(logits @ W)
            if head_trains:
                gradients.append(logits)
        ctx.cut, ctx.head_trains = cut, head_trains
        ctx.save_for_backward(torch.cat(dh), *([h, *gradients] if head_trains else []))
        return torch.cat(nll)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        dh, *rest = ctx.saved_tensors
        dW = None
        if ctx.head_trains:
            h, *gradients = rest
            weighted = _scaled(h, g)
            for rows, gradient in zip(ctx.cut, gradients, strict=True):
                term = gradient.T @ weighted[rows]
                dW = term if dW is None else dW.add_(term)
        return _scaled(dh, g), dW, None, None, None


def _scaled(x: Tensor, g: Tensor) -> Tensor:
    """Return ``g x`` row by row; g stays float32, for a rounded 1/n would scale a whole gradient."""
    return (x * g[:, None]).to(x.dtype)
