"""Makes the arms that presets compare."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rankwise.adapters import Adapter
from rankwise.adapters.events import Event
from rankwise.errors import UsageError
from rankwise.methods.event_names import named_events
from rankwise.studies.config import Arm

ALPHA = 32.0  # at every rank, with scale alpha/r: the convention of "LoRA Without Regret"


def full_arm(batch: int | None = None) -> Arm:
    """Full fine-tuning; with ``batch``, at a batch size of its own."""
    if batch is None:
        return Arm(name="full", label="Full fine-tuning", method="full")
    return Arm(name=f"full-b{batch}", label=f"Full fine-tuning, batch {batch}", method="full", batch=batch)


def lora_arm(rank: int, placement: str = "all-linear", *, alpha: float = ALPHA, batch: int | None = None) -> Arm:
    """LoRA at one rank and placement."""
    name, label = f"lora-r{rank}", f"LoRA r={rank}"
    if placement != "all-linear":
        name, label = f"{name}-{placement}", f"{label}, {placement} only"
    if batch is not None:
        name, label = f"{name}-b{batch}", f"{label}, batch {batch}"
    options: dict[str, str | int | float] = {"rank": rank, "alpha": float(alpha), "placement": placement}
    return Arm(name=name, label=label, method="lora", options=options, batch=batch)


def method_arm(method: str, label: str, rank: int) -> Arm:
    """Another method at one rank, with its own default alpha."""
    return Arm(
        name=f"{method.replace('_', '-')}-r{rank}", label=f"{label} r={rank}", method=method, options={"rank": rank}
    )


def acting(arms: tuple[Arm, ...], options: Any) -> tuple[Arm, ...]:
    """Return ``arms`` with the events of ``--set method.events=...`` in every one that trains an adapter.

    Raises:
        UsageError: other options than events, or an arm that cannot take one of them.
    """
    if not isinstance(options, dict) or set(options) != {"events"}:
        found = ", ".join(sorted(options)) if isinstance(options, dict) else repr(options)
        raise UsageError(
            "of the options of a method, --set method.events=NAME alone is for all arms of a study; give others to an "
            f"arm, such as arms: [{{method: lora, options: {{rank: 16}}}}]; found {found}."
        )
    events = named_events(options["events"])
    return tuple(_with_events(arm, events) for arm in arms)


def _with_events(arm: Arm, events: tuple[Event, ...]) -> Arm:
    target, more = arm.target(), [event.to_dict() for event in events]
    if not (events and isinstance(target, Adapter)):
        return arm
    label = f"{arm.label}, {', '.join(event.name for event in events)}"
    changed: dict[str, Any]
    if arm.adapter is None:
        changed = {"options": _and_events(arm.options, more)}
    else:
        changed = {"adapter": {**arm.adapter, "events": [*arm.adapter.get("events", ()), *more]}}
        if made := arm.made_by:
            changed["made_by"] = made.model_copy(update={"options": _and_events(made.options, more)})
    try:
        replace(target, events=(*target.events, *events))
    except UsageError as error:
        raise UsageError(f"arm {arm.name}: {error}") from None
    return arm.model_copy(update={"label": label, **changed})


def _and_events(options: dict[str, Any], more: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the options of a method with ``more`` events after its own."""
    own = [event.to_dict() for event in named_events(options.get("events", ()))]
    return {**options, "events": [*own, *more]}
