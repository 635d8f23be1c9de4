"""How large the update of a layer is, in norm and in rank: measured around what an event does."""

from __future__ import annotations

from rankwise.adapters.parametrizations.frozen_pairs import merged
from rankwise.adapters.slot import Slot


def squared_norm(slot: Slot) -> float:
    """Return the squared Frobenius norm of a layer's update, from its thin factors where it has some."""
    pair = slot.plain()
    if pair is None or len(pair[0]) >= min(pair[0].shape[1], pair[1].shape[0]):
        return float(slot.delta().double().square().sum())
    A, B = (factor.double() for factor in pair)
    return max(0.0, float(((B.T @ B) * (A @ A.T)).sum()))  # rounding may leave a zero below zero


def effective_rank(slot: Slot) -> int:
    """Return the number of low-rank pairs, merged ones included; of a diagonal, those it does not switch off."""
    if slot.parametrization.offers == "switch":
        return int(slot.factors["e"].count_nonzero())
    factors, frozen = slot.factors, merged(slot)
    return sum(int(tensors["A"].shape[0]) for tensors in (factors, frozen) if "A" in tensors)
