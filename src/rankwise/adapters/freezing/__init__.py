"""Axis *freezing*: which factors move. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.freezing.base import Freezing
from rankwise.adapters.freezing.nothing import Nothing
from rankwise.adapters.freezing.only import Only

FREEZING = register(Nothing, Only)

__all__ = ["FREEZING", "Freezing", "Nothing", "Only"]
