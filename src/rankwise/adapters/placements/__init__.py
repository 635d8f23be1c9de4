"""Axis *placement*: which modules are adapted. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.placements.all_linear import AllLinear
from rankwise.adapters.placements.attention import Attention
from rankwise.adapters.placements.base import Placement, linear_modules
from rankwise.adapters.placements.biases import Biases
from rankwise.adapters.placements.keys_values_down import KeysValuesDown
from rankwise.adapters.placements.mlp import MLP
from rankwise.adapters.placements.regex import Regex
from rankwise.adapters.placements.suffixes import Suffixes

PLACEMENTS = register(AllLinear, Attention, MLP, Regex, Suffixes, Biases, KeysValuesDown)

__all__ = [
    "MLP",
    "PLACEMENTS",
    "AllLinear",
    "Attention",
    "Biases",
    "KeysValuesDown",
    "Placement",
    "Regex",
    "Suffixes",
    "linear_modules",
]
