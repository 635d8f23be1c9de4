"""Axis *event*: what happens during training. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.events.base import Context, Event
from rankwise.adapters.events.merge_and_restart import MergeAndRestart
from rankwise.adapters.events.orthogonalize import Orthogonalize
from rankwise.adapters.events.project_out import ProjectOut

EVENTS = register(MergeAndRestart, Orthogonalize, ProjectOut)

__all__ = ["EVENTS", "Context", "Event", "MergeAndRestart", "Orthogonalize", "ProjectOut"]
