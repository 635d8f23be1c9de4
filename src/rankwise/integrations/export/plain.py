"""Every adapted module as plain factors with the scale inside: the one form that every other program understands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankwise.adapters import Adapter, Handle, orientation
from rankwise.adapters.peft_format import disk_factors
from rankwise.adapters.slot import Slot
from rankwise.integrations.export.svd import of_dense, of_product

UNRANKED = 64  # rank of the stand-in of an update that has no rank of its own, where nothing bounds it


@dataclass(frozen=True, eq=False)
class Plain:
    """One module's update as ``B A``.

    Attributes:
        A, B: (rank, d_in) and (d_out, rank); the scale is in B.
        m: DoRA's magnitudes (d_out,) when the target has them: then ``B A`` is the direction only.
        error: Frobenius norm of what is lost, over that of the update; 0 when exact.
        embedding, conv1d: what kind of module it is.
    """

    path: str
    A: Tensor
    B: Tensor
    m: Tensor | None
    error: float
    embedding: bool
    conv1d: bool

    @property
    def rank(self) -> int:
        """Inner dimension."""
        return int(self.A.shape[0])


def why_not_plain(adapter: Adapter) -> str:
    """Return why no other program can be given the adapter as factors beside the base, or an empty string."""
    kind, init = adapter.parametrization.kind, adapter.init
    if kind != "delta":
        return f"it is not an update of weights (its kind is {kind!r}), so there are no low-rank factors to write"
    if init.quantized:
        return f"init {init.name!r} chose the codes of the base together with it, and only rankwise keeps both"
    return ""


def plain_modules(handle: Handle, *, most: int | None, decomposed: bool) -> list[Plain]:
    """Turn every module into plain factors.

    Exact ones are taken where the method has them; above rank ``most`` they are cut only if nothing is lost. Others
    are the SVD of the dense update at rank ``most`` (without a bound: twice the adapter's rank, or UNRANKED).

    Args:
        most: the largest rank the target takes; modules whose exact rank is larger come back as they are.
        decomposed: the target has DoRA's magnitudes.
    """
    found = []
    for path, slot in handle.slots.items():
        layer = handle.layers[path]
        m = None
        if decomposed and set(slot.factors) == {"A", "B", "m"}:
            parts = disk_factors(slot)
            A, B, m, error = parts["A"], slot.scaling * parts["B"], parts["m"], 0.0
        else:
            ranked = handle.adapter.parametrization.ranked
            A, B, error = _factors(slot, most, 2 * handle.adapter.rank if ranked else UNRANKED)
        embedding, conv1d = orientation.is_embedding(layer), orientation.is_conv1d(layer)
        found.append(Plain(path, A.cpu(), B.cpu(), m, error, embedding, conv1d))
    return found


def _factors(slot: Slot, most: int | None, usual: int) -> tuple[Tensor, Tensor, float]:
    exact = slot.plain()
    if exact is None:
        delta = slot.delta()
        spectrum = of_dense(delta)
        A, B = spectrum.factors(most or usual)
        return A.to(delta.dtype), B.to(delta.dtype), spectrum.error(most or usual)
    A, B = exact
    if most is not None and A.shape[0] > most:
        spectrum = of_product(A, B)
        if spectrum.error(most) <= 8 * torch.finfo(A.dtype).eps:  # a larger rank than the update has
            cut_A, cut_B = spectrum.factors(most)
            return cut_A.to(A.dtype), cut_B.to(A.dtype), 0.0
    return A, B, 0.0


def flatten(modules: Iterable[Plain], dtype: torch.dtype | None) -> list[Plain]:
    """Give all modules one rank, by zeros, and one dtype: servers ignore PEFT's rank_pattern."""
    modules = list(modules)
    rank = max(module.rank for module in modules)
    return [
        replace(
            module,
            A=pad(module.A, (0, 0, 0, rank - module.rank)).to(dtype or module.A.dtype).contiguous(),
            B=pad(module.B, (0, rank - module.rank)).to(dtype or module.B.dtype).contiguous(),
            m=None if module.m is None else module.m.to(dtype or module.m.dtype),
        )
        for module in modules
    ]
