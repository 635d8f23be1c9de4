"""Axis *placement*: which modules are adapted. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.placements.all_linear import AllLinear
from rankwise.adapters.placements.attention import Attention
from rankwise.adapters.placements.base import Placement, linear_modules
from rankwise.adapters.placements.biases import Biases
from rankwise.adapters.placements.block_outputs import BlockOutputs
from rankwise.adapters.placements.experts import Experts
from rankwise.adapters.placements.hybrid_places import HybridPlaces
from rankwise.adapters.placements.input_embeddings import InputEmbeddings
from rankwise.adapters.placements.keys_values import KeysValues
from rankwise.adapters.placements.keys_values_down import KeysValuesDown
from rankwise.adapters.placements.layers import Layers
from rankwise.adapters.placements.long_context_places import LongContextPlaces
from rankwise.adapters.placements.mlp import MLP
from rankwise.adapters.placements.norms import Norms
from rankwise.adapters.placements.regex import Regex
from rankwise.adapters.placements.suffixes import Suffixes

PLACEMENTS = register(
    AllLinear,
    Attention,
    MLP,
    Regex,
    Suffixes,
    Biases,
    KeysValuesDown,
    Norms,
    BlockOutputs,
    Layers,
    InputEmbeddings,
    KeysValues,
    HybridPlaces,
    LongContextPlaces,
    Experts,
)

__all__ = [
    "MLP",
    "PLACEMENTS",
    "AllLinear",
    "Attention",
    "Biases",
    "BlockOutputs",
    "Experts",
    "HybridPlaces",
    "InputEmbeddings",
    "KeysValues",
    "KeysValuesDown",
    "Layers",
    "LongContextPlaces",
    "Norms",
    "Placement",
    "Regex",
    "Suffixes",
    "linear_modules",
]
