"""Regular expressions that people and files give: Python's own syntax, with a limit of time.

The standard library cannot be interrupted, and ``((.*)*)*X`` takes it longer than the universe has. The package
``regex`` reads the same syntax and stops. (Engines without backtracking refuse the look-aheads of PEFT's patterns.)
"""

from __future__ import annotations

import time
from typing import Any

import regex

from rankwise.errors import UsageError
from rankwise.reading.pattern_size import MOST, largest_count, size

SECONDS = 2.0  # of one match, and of all slow ones together; names of modules take microseconds
QUICK = 0.05  # seconds of a match that nobody counts
LENGTH = 10_000  # characters of a pattern
SHOWN = 200  # of them in a sentence
SIZE = 100_000  # characters of one whose counts are written out, as compiling does


class Pattern:
    """A pattern, compiled; a match that takes too long is an error and not a wait.

    Args:
        text: Python's syntax.
        where: what it is, for the sentence: "placement pattern", "adapter_config.json: target_modules".
        around: what is matched before and after it.

    Raises:
        UsageError: it is no regular expression.
    """

    def __init__(self, text: str, where: str, *, around: tuple[str, str] = ("", "")) -> None:
        self.text, self.where, self._left = text, where, SECONDS
        if len(text) > LENGTH:
            raise UsageError(f"{where} has {len(text):,} characters; a pattern may have {LENGTH:,}")
        shown = repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
        if largest_count(text) > MOST:
            raise UsageError(
                f"{where} {shown} repeats more than {MOST:,} times; write a smaller count, or * for any number"
            )
        if size(text) > SIZE:
            raise UsageError(
                f"{where} {shown} is longer than {SIZE:,} characters with its counts written out; counts inside each "
                "other multiply: write smaller ones, or * for any number"
            )
        try:
            regex.compile(text, regex.VERSION0)  # alone too: what is around may close its brackets
            self._compiled = regex.compile(text.join(around), regex.VERSION0)
        except (regex.error, RecursionError, OverflowError, ValueError, MemoryError) as error:
            raise UsageError(f"{where} {shown} is not a regular expression: {error}") from None

    def found_in(self, name: str) -> bool:
        """Whether it matches anywhere in ``name``."""
        return self._ask("search", name)

    def matches(self, name: str) -> bool:
        """Whether it matches all of ``name``."""
        return self._ask("fullmatch", name)

    def begins(self, name: str) -> bool:
        """Whether it matches at the beginning of ``name``."""
        return self._ask("match", name)

    def group(self, name: str) -> str | None:
        """Return what its first group holds where it matches at the beginning of ``name``, None where it does not."""
        found = self._match("match", name)
        return None if found is None else str(found[1])

    def _ask(self, how: str, name: str) -> bool:
        return self._match(how, name) is not None

    def _match(self, how: str, name: str) -> Any:
        start = time.perf_counter()
        try:
            found = getattr(self._compiled, how)(name, timeout=self._left)
            if (spent := time.perf_counter() - start) > QUICK:
                self._left = max(self._left - spent, QUICK)
            return found
        except TimeoutError:
            raise UsageError(
                f"{self.where} {self.text!r} takes more than {SECONDS:.0f} s on {name[:80]!r}; write it without nested "
                "repetition"
            ) from None
