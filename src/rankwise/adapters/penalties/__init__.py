"""Axis *penalty*: what the loss adds. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.penalties.base import Penalty
from rankwise.adapters.penalties.orthogonality import Orthogonality

PENALTIES = register(Orthogonality)

__all__ = ["PENALTIES", "Orthogonality", "Penalty"]
