"""Events by name, at the edge: what ``events=`` of a method takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rankwise.adapters.axis import resolve
from rankwise.adapters.events import EVENTS, Event
from rankwise.errors import UsageError


def named_events(value: Any) -> tuple[Event, ...]:
    """Return the events that ``value`` names: names apart by commas, an object with a name and options, or a list.

    >>> named_events("hidden-key, drop-backward")[1].rate
    0.5

    Raises:
        UsageError: something else, or an unknown name or option.
    """
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    elif isinstance(value, Mapping | Event):
        value = [value]
    if not isinstance(value, Iterable):
        raise UsageError(
            f"events must be names such as 'hidden-key', an object such as {{'name': 'hidden-key', 'keys': 0.2}}, or a "
            f"list of these, found {value!r:.60}."
        )
    return tuple(one if isinstance(one, Event) else resolve("event", EVENTS, one) for one in value)
