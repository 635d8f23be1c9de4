"""Axis *parametrization*: what shape the update has. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, Parametrization, Shapes, project
from rankwise.adapters.parametrizations.bias_shift import BiasShift
from rankwise.adapters.parametrizations.core import Core
from rankwise.adapters.parametrizations.diagonal import Diagonal
from rankwise.adapters.parametrizations.feature_scaled import FeatureScaled
from rankwise.adapters.parametrizations.gated import Gated
from rankwise.adapters.parametrizations.ia3 import IA3
from rankwise.adapters.parametrizations.low_rank import LowRank
from rankwise.adapters.parametrizations.vera import VeRA
from rankwise.adapters.parametrizations.weight_decomposed import WeightDecomposed
from rankwise.adapters.parametrizations.whole_matrix import WholeMatrix

PARAMETRIZATIONS = register(
    LowRank, WeightDecomposed, Diagonal, Core, VeRA, IA3, BiasShift, Gated, WholeMatrix, FeatureScaled
)

__all__ = [
    "IA3",
    "PARAMETRIZATIONS",
    "BiasShift",
    "Core",
    "Delta",
    "Diagonal",
    "Drop",
    "Factors",
    "FeatureScaled",
    "Gated",
    "Host",
    "LowRank",
    "Parametrization",
    "Shapes",
    "VeRA",
    "WeightDecomposed",
    "WholeMatrix",
    "project",
]
