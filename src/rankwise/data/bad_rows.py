"""Rows that cannot be used: how many there are, and how to go on without them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rankwise.errors import UsageError

PREFIX = "skip-bad-rows:"  # before the name of data: rows that cannot be used are left out
KEEP = "keep-control-tokens:"  # ... : what rows spell of control tokens is one, not text


@dataclass(frozen=True)
class Skipping:
    """Whether rows that cannot be used are left out, and the name of the data they are in.

    ``keep``: their words may hold control tokens (see :mod:`rankwise.data.control`).
    """

    on: bool = False
    data: str = "DATA"
    keep: bool = False

    @classmethod
    def of(cls, spec: str) -> Skipping:
        """Read it off the data as a person names them, each prefix once, in either order."""
        rest, said = spec, set()
        while found := [prefix for prefix in (PREFIX, KEEP) if rest.startswith(prefix) and prefix not in said]:
            said.add(found[0])
            rest = rest.removeprefix(found[0])
        return cls(PREFIX in said, rest, KEEP in said)


STRICT = Skipping()


class BadRow(dict[str, Any]):
    """A row that its file spells wrongly. It has no columns; ``error`` says what is wrong and where."""

    def __init__(self, error: UsageError) -> None:
        super().__init__()
        self.error = error


def settle(faults: Sequence[UsageError], total: int, what: str, skip: Skipping) -> tuple[str, ...]:
    """Return a note about ``faults`` among ``total`` rows that are left out; nothing to note when there are none.

    Raises:
        UsageError: there are faults, and they are not to be skipped, or nothing would be left.
    """
    if not faults:
        return ()
    first = str(faults[0]).rstrip(".")
    if len(faults) == total:
        raise faults[0] if total == 1 else UsageError(f"{first}; none of the {total:,} {what} can be used")
    if skip.on:
        return (f"{len(faults):,} of {total:,} {what} left out, as they cannot be used; the first: {first}",)
    it = "it" if len(faults) == 1 else "them"
    raise UsageError(
        f"{first}; {len(faults):,} of {total:,} {what} cannot be used: correct {it}, or leave {it} out with "
        f"--data {shlex.quote(PREFIX + (KEEP if skip.keep else '') + skip.data)}"
    )
