"""Axis *event*: what happens during training. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.events.base import Context, Event
from rankwise.adapters.events.merge_and_restart import MergeAndRestart
from rankwise.adapters.events.orthogonalize import Orthogonalize

EVENTS = register(MergeAndRestart, Orthogonalize)

__all__ = ["EVENTS", "Context", "Event", "MergeAndRestart", "Orthogonalize"]
