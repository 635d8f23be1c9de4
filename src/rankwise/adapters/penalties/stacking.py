"""Factors of modules of one shape as one tensor: a penalty over hundreds of modules is then a few products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

Factors = Mapping[str, Mapping[str, Tensor]]


def stacks(factors: Factors, *names: str) -> Iterator[tuple[Tensor, ...]]:
    """Yield, for every group of modules with equal shapes, one tensor (P, ...) per name; modules in the model's order.

    Modules that lack one of ``names`` are left out (no frozen pairs yet).
    """
    groups: dict[tuple[tuple[int, ...], ...], list[str]] = {}
    for module, own in factors.items():
        if all(name in own for name in names):
            groups.setdefault(tuple(tuple(own[name].shape) for name in names), []).append(module)
    for modules in groups.values():
        yield tuple(torch.stack([factors[module][name] for module in modules]) for name in names)


def zero(factors: Factors) -> Tensor:
    """Return 0 with a graph to the factors: the value of a penalty that has nothing to act on yet."""
    return next(iter(next(iter(factors.values())).values())).sum() * 0.0


def gram_error(A: Tensor) -> Tensor:
    """Return ``|A A^T - I|^2`` (Frobenius) of every A (P, R, I): (P,)."""
    eye = torch.eye(A.shape[-2], dtype=A.dtype, device=A.device)
    return (A @ A.mT - eye).square().sum((-2, -1))
