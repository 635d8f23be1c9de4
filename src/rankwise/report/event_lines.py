"""One line for what an event did, in the words users know; the pages of streams and of the study of events share it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rankwise.report.wording import MISSING


def event_line(event: Mapping[str, Any]) -> str | None:
    """Return what one firing did, None for one that has nothing to say.

    What is measured is shown where the record has it: the loss on the probe before and after, what rounding the factors
    to bfloat16 would make of it, the change of B A, the largest and mean ``|cos|`` between rows of A.
    """
    from rankwise.engine.events.summary import effect  # brings torch

    if "threshold" in event and not event.get("modules"):
        mean = number(event["coherence_before"]["mean"])
        return f"skipped, mean |cos| {mean} <= threshold {event['threshold']:g}"
    if not event.get("text"):
        told = "update_norm_before" in event and "text" not in event
        return f"{event['event']}: {effect(event)}" if told else None
    parts = [str(event["text"])]
    if "probe_loss_before" in event:
        parts.append(_losses(event))
    if "relative_change" in event:
        parts.append(f"|d(BA)|/|BA| {number(event['relative_change'])}")
    if "coherence_after" in event:
        before, after = event["coherence_before"], event["coherence_after"]
        parts.append(f"max |cos| {number(before['max'])} -> {number(after['max'])}")
        parts.append(f"mean |cos| {number(before['mean'])} -> {number(after['mean'])}")
    return "; ".join(parts)


def number(value: float | None, *, signed: bool = False) -> str:
    """A number that may be large, tiny or missing; what is below float32's own rounding is 0."""
    if value is None:
        return MISSING
    if abs(value) < 5e-4:
        return "0" if abs(value) < 1e-12 else f"{value:+.0e}" if signed else f"{value:.0e}"
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def _losses(event: Mapping[str, Any]) -> str:
    before, after = event["probe_loss_before"], event["probe_loss_after"]
    where = f" ({event['probe_dtype']})" if event.get("probe_dtype") else ""
    text = f"loss {_loss(before)} -> {_loss(after)}{where}"
    rounded = event.get("bf16_probe_loss_after")
    if rounded is not None and after is not None:
        text += f", {number(rounded - after, signed=True)} more with factors in bfloat16"
    return text


def _loss(value: float | None) -> str:
    return MISSING if value is None else f"{value:.6f}"
