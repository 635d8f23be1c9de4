"""Axis *event*: what happens during training. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.events.base import Context, Event
from rankwise.adapters.events.merge_and_restart import MergeAndRestart

EVENTS = register(MergeAndRestart)

__all__ = ["EVENTS", "Context", "Event", "MergeAndRestart"]
