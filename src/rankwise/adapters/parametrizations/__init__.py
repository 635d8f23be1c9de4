"""Axis *parametrization*: what shape the update has. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.parametrizations.base import Factors, Host, Parametrization
from rankwise.adapters.parametrizations.low_rank import LowRank
from rankwise.adapters.parametrizations.weight_decomposed import WeightDecomposed

PARAMETRIZATIONS = register(LowRank, WeightDecomposed)

__all__ = ["PARAMETRIZATIONS", "Factors", "Host", "LowRank", "Parametrization", "WeightDecomposed"]
