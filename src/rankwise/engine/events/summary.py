"""A run's events in a few words: which, how often, from when to when, and what the last one did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_CHANGES = (("probe_loss", "loss"), ("update_norm", "norm"))


def summarize(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry for each event and kind of firing: ``event``, ``count``, ``first``, ``last`` and ``effect``.

    Firings of one event that say different things (a choice, and holding it) are counted apart.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[Mapping[str, Any]]] = {}
    for record in events:
        kind = tuple(key for key in record if not _said(key))
        groups.setdefault((record["event"], kind), []).append(record)
    return [
        {
            "event": name,
            "count": len(records),
            "first": records[0]["step"],
            "last": records[-1]["step"],
            "effect": effect(records[-1]),
        }
        for (name, _), records in groups.items()
    ]


def effect(record: Mapping[str, Any]) -> str:
    """Return what one firing did, for instance ``kept 112; mean rank 12 to 8; loss 0.81 to 0.82``."""
    parts = [f"{key} {_short(value)}" for key, value in record.items() if not _said(key)]
    if ranks := [record.get(f"ranks_{when}") for when in ("before", "after")]:
        before, after = (sum(own.values()) / len(own) if own else None for own in ranks)
        if before is not None and after is not None:
            parts.append(_change("mean rank", before, after))
    for key, word in _CHANGES:
        before, after = record.get(f"{key}_before"), record.get(f"{key}_after")
        if before is not None and after is not None:
            parts.append(_change(word, before, after))
    return "; ".join(parts)


def line(entry: Mapping[str, Any]) -> str:
    """Return one entry as text, for instance ``merge-and-restart: 3 times, steps 5 to 15; last: merged 210; ...``."""
    times = "once" if entry["count"] == 1 else f"{entry['count']} times"
    when = f"step {entry['first']}" if entry["first"] == entry["last"] else f"steps {entry['first']} to {entry['last']}"
    return f"{entry['event']}: {times}, {when}; last: {entry['effect']}"


def _said(key: str) -> bool:
    """Whether a key is about the firing itself or what was measured around it, which has words of its own."""
    return key in ("event", "step", "moment", "probe_dtype") or key.endswith(("_before", "_after"))


def _change(word: str, before: float, after: float) -> str:
    same = f"{before:.4g}" == f"{after:.4g}"
    return f"{word} {before:.4g}" if same else f"{word} {before:.4g} to {after:.4g}"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (dict, list)) and not value:
        return "none"
    if isinstance(value, dict):
        if len(value) > 4:
            numbers = [own for own in value.values() if isinstance(own, (int, float))]
            range_ = f", {_short(min(numbers))} to {_short(max(numbers))}" if len(numbers) == len(value) else ""
            return f"of {len(value)}{range_}"
        return ", ".join(f"{key}: {_short(own)}" for key, own in value.items())
    if isinstance(value, list):
        return f"of {len(value)}" if len(value) > 4 else ", ".join(map(str, value))
    return str(value)
