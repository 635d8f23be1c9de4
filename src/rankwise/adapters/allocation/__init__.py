"""Axis *allocation*: how much rank where. One file per choice, one line here.

What moves rank while training runs is an event (``events/``); this is what it starts from.
"""

from rankwise.adapters.allocation.base import Allocation
from rankwise.adapters.allocation.ramp import Ramp
from rankwise.adapters.allocation.uniform import Uniform
from rankwise.adapters.axis import register

ALLOCATIONS = register(Uniform, Ramp)

__all__ = ["ALLOCATIONS", "Allocation", "Ramp", "Uniform"]
