"""A trained change of one weight: thin factors where they are at hand, dense where they are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from rankwise.adapters import orientation
from rankwise.adapters.parametrizations import LowRank
from rankwise.adapters.slot import Slot
from rankwise.analysis.measures.spectra import product_singular_values, product_svd


@dataclass(frozen=True, eq=False)
class Update:
    """D = left @ right, scaled, (d_out, d_in) float32 or wider; a dense update has right = None."""

    left: Tensor
    right: Tensor | None = None

    @cached_property
    def matrix(self) -> Tensor:
        """The dense update."""
        return self.left if self.right is None else self.left @ self.right

    @cached_property
    def sigma(self) -> Tensor:
        """Singular values, descending; as many as the factors allow."""
        if self.right is None:
            return torch.linalg.svdvals(self.left)
        return product_singular_values(self.left, self.right)

    @cached_property
    def svd(self) -> tuple[Tensor, Tensor, Tensor]:
        """U (d_out, k), sigma (k,), V (d_in, k)."""
        if self.right is None:
            U, sigma, Vt = torch.linalg.svd(self.left, full_matrices=False)
            return U, sigma, Vt.T
        return product_svd(self.left, self.right)


def update_of(slot: Slot) -> Update:
    """Return a copy of what an attached adapter adds to one layer.

    With a frozen start the factors are [s (B - B0), s B0] and [A; A - A0], of inner size 2 rank.
    """
    if type(slot.parametrization) is not LowRank:
        return Update(slot.delta().clone())
    A, B = slot.factors["A"].detach().clone(), slot.scaling * slot.factors["B"].detach()
    if not slot.edits_base:
        return Update(B, A)
    A0, B0 = slot.start["A"], slot.scaling * slot.start["B"]
    return Update(torch.cat([B - B0, B0], 1), torch.cat([A, A - A0], 0))


def difference(module: nn.Module, W0: Tensor, master: Tensor | None = None) -> Update:
    """Return ``module``'s weight (or its fp32 master, as stored) minus W0, (d_out, d_in) float32 or wider."""
    W = orientation.weight(module) if master is None else master.detach()
    W = W.T if master is not None and orientation.is_conv1d(module) else W
    return Update(W.to(torch.promote_types(W.dtype, torch.float32)) - W0)


def wide(module: nn.Module) -> Tensor:
    """Return a module's weight as (d_out, d_in), float32 or wider."""
    W = orientation.weight(module)
    return W.to(torch.promote_types(W.dtype, torch.float32))


def spread(names: Iterable[str], each: int) -> list[str]:
    """Pick up to ``each`` modules of every kind (last part of the dotted name), evenly from first to last layer."""
    kinds: dict[str, list[str]] = {}
    listed = list(names)
    for name in listed:
        kinds.setdefault(name.rsplit(".", 1)[-1], []).append(name)
    chosen = set()
    for found in kinds.values():
        count = min(each, len(found))
        places = [0] if count == 1 else [round(k * (len(found) - 1) / (count - 1)) for k in range(count)]
        chosen |= {found[k] for k in places}
    return [name for name in listed if name in chosen]


def short(name: str) -> str:
    """Return the last three parts of a module's name, for a title: ``14.self_attn.q_proj``."""
    return ".".join(name.split(".")[-3:])
