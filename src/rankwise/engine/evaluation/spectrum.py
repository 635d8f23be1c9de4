"""How many directions a run's total update has: rank and effective rank of every adapted weight.

    effective rank = exp(-sum p ln p),   p = singular values over their sum          (Roy and Vetterli, 2007)

The rank counts singular values above max(d_out, d_in) eps times the largest. Thin factors give their singular values
without a dense matrix: those of R_B R_A^T, from the QR factorizations of B and of A transposed. Where there are none,
only some layers are looked at, evenly over the model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankwise.adapters import orientation
from rankwise.engine.trainees import AdapterTrainee, Trainee

DENSE = 24  # most layers whose dense update is factorized: each takes a tenth of a second at width 1000


def spectrum(trainee: Trainee, base: Any) -> dict[str, dict[str, float]]:
    """Return ``{"rank", "effective"}`` by module; empty for full fine-tuning and for what is no update of weights.

    Args:
        base: the untouched model, from which private weights have moved.
    """
    if not isinstance(trainee, AdapterTrainee) or trainee.handle.adapter.parametrization.not_merged:
        return {}
    slots, found = trainee.handle.slots, {}
    thin = {path: slot.plain() for path, slot in slots.items()} if trainee.private is None else {}
    names = [path for path in slots if thin.get(path) is not None] or _some(list(slots))
    for path in names:
        pair = thin.get(path)
        if pair is not None and pair[0].shape[0] < min(pair[0].shape[1], pair[1].shape[0]):
            values = _of_product(*pair)
        elif pair is not None:
            if path not in _some(names):
                continue
            values = torch.linalg.svdvals(slots[path].delta())
        else:
            values = torch.linalg.svdvals(_total(trainee, base, path))
        shape = orientation.shape(trainee.handle.layers[path])
        found[path] = {"rank": numerical_rank(values, max(shape)), "effective": effective_rank(values)}
    return found


def effective_rank(values: Tensor) -> float:
    """Return exp of the entropy of ``values`` (singular values) over their sum; 0 when all are zero."""
    values = values.double()
    if not values.sum() > 0:
        return 0.0
    p = values / values.sum()
    return float(torch.exp(-(p * p.clamp(min=1e-300).log()).sum()))


def numerical_rank(values: Tensor, size: int) -> int:
    """Return how many singular values are not rounding."""
    return int((values > size * torch.finfo(values.dtype).eps * values.max()).sum())


def _of_product(A: Tensor, B: Tensor) -> Tensor:
    left, right = torch.linalg.qr(B).R, torch.linalg.qr(A.T).R
    return torch.linalg.svdvals(left @ right.T)


def _total(trainee: AdapterTrainee, base: Any, path: str) -> Tensor:
    delta = trainee.handle.delta(path)
    if trainee.private is None:
        return delta
    W0 = orientation.weight(base.get_submodule(path)).detach()
    return trainee.private.masters[path] - W0.to(delta.dtype) + delta


def _some(names: list[str]) -> list[str]:
    step = max(1, -(-len(names) // DENSE))
    return names[::step]
