"""Axis *penalty*: what the loss adds. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.penalties.base import Penalty
from rankwise.adapters.penalties.orthogonality import Orthogonality
from rankwise.adapters.penalties.ridge import Ridge
from rankwise.adapters.penalties.variance import Variance

PENALTIES = register(Orthogonality, Ridge, Variance)

__all__ = ["PENALTIES", "Orthogonality", "Penalty", "Ridge", "Variance"]
