"""Axis *penalty*: what the loss adds. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.penalties.base import Penalty
from rankwise.adapters.penalties.colora_note import ColoraNote
from rankwise.adapters.penalties.gate_entropy import GateEntropy
from rankwise.adapters.penalties.null_space import NullSpace
from rankwise.adapters.penalties.open_gates import OpenGates
from rankwise.adapters.penalties.orthogonality import Orthogonality
from rankwise.adapters.penalties.overlap import Overlap
from rankwise.adapters.penalties.ridge import Ridge
from rankwise.adapters.penalties.row_orthogonality import RowOrthogonality
from rankwise.adapters.penalties.variance import Variance

PENALTIES = register(
    Orthogonality, RowOrthogonality, Overlap, NullSpace, ColoraNote, Ridge, Variance, OpenGates, GateEntropy
)

__all__ = [
    "PENALTIES",
    "ColoraNote",
    "GateEntropy",
    "NullSpace",
    "OpenGates",
    "Orthogonality",
    "Overlap",
    "Penalty",
    "Ridge",
    "RowOrthogonality",
    "Variance",
]
