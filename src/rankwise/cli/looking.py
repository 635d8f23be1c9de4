"""``--until``, ``--limit`` and ``--seeds``: how often a study looks at its fresh runs, as settings."""

from __future__ import annotations

import re
from typing import Any

from rankwise.errors import UsageError, unknown

UNTIL = ("decided", "seeds")
MOST = 200  # further looks would be at levels of one in a million
HORIZON = 12  # fresh seeds, as stats/looks.py has it: not imported, so that --help stays fast


def looking(
    until: str | None, limit: str | None, seeds: int | None, seed: int, values: dict[str, Any]
) -> dict[str, Any]:
    """Return the settings that these options ask for; none that was not typed.

    Args:
        until, limit, seeds: as typed.
        seed: of the search; fresh seeds follow it.
        values: other settings that were typed.

    Raises:
        UsageError: options that do not go together, or no number or time.
    """
    if until is not None and until not in UNTIL:
        raise unknown("--until", until, UNTIL)
    if seeds is not None and (until == "decided" or limit is not None):
        other = "--until decided" if until else "--limit"
        raise UsageError(
            f"--seeds {seeds} looks once, at {seeds}; {other} adds seeds until all is decided. Leave one of them out."
        )
    if until == "seeds" and limit is not None:
        raise UsageError("--limit says where --until decided stops; with --until seeds give --seeds instead.")
    given = "fresh_seeds" in values
    count, seconds = _limit(limit) if limit is not None else (None, None)
    if given and (seeds is not None or count is not None):
        option = "--limit" if seeds is None else "--seeds"
        raise UsageError(f"{option} and --set fresh_seeds=... both say which seeds there are; leave one of them out.")
    if "until" in values and (until or limit is not None or seeds is not None):
        raise UsageError("--set until=... stands against --until, --limit or --seeds; leave it out.")
    if seconds is not None and "budget" in values:
        raise UsageError(f"--limit {limit} and --budget are both times, the budget that of the whole study: give one.")
    found: dict[str, Any] = {}
    if until == "decided" or limit is not None:
        found["until"] = "decided"
        if count is None and not given:
            count = HORIZON
    elif until == "seeds" or seeds is not None:
        found["until"] = "seeds"
        if not given:
            found["fresh_seeds"] = _after(seed, seeds or 3)
    if count is not None:
        found["fresh_seeds"] = _after(seed, count)
    if seconds is not None:
        found["limit_seconds"] = seconds
    return found


def _after(seed: int, count: int) -> list[int]:
    return list(range(seed + 1, seed + 1 + count))


def _limit(text: str) -> tuple[int | None, float | None]:
    """Return fresh seeds, or seconds."""
    if found := re.fullmatch(r"\s*(\d{1,4})(?:\s*seeds?)?\s*", text):
        if not 3 <= (count := int(found[1])) <= MOST:
            raise UsageError(f"--limit takes 3 fresh seeds, those of the first look, to {MOST}; found {count}.")
        return count, None
    from rankwise.studies.budget.plan import parse_budget

    return None, parse_budget(text, "--limit needs fresh seeds such as 12, or a time")
