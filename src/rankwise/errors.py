"""The two kinds of trouble a person can meet, each one clear sentence and one exit code.

Raise :class:`UsageError` for anything the person can correct (argument, option, file, column, model name);
raise :class:`RunError` for a fault while running. Messages say what, where and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RankwiseError(Exception):
    """Base of every error that reaches a person as one sentence, without a traceback."""

    exit_code = 1


class UsageError(RankwiseError):
    """A bad argument, option, configuration, model name, data file or column. Exit code 2."""

    exit_code = 2


class RunError(RankwiseError):
    """A fault while running. Exit code 1."""

    exit_code = 1


def unknown(kind: str, found: str, known: Iterable[str], *, hint: str = "") -> UsageError:
    """Build the error for a name that is not in a list, with the nearest valid names.

    >>> str(unknown("method", "lorra", ["lora", "olora"]))
    "unknown method 'lorra'; did you mean 'lora' or 'olora'? Known: lora, olora"
    """
    names = sorted(known)
    near = difflib.get_close_matches(found, names, n=3, cutoff=0.6)
    guess = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else "."
    shown = ", ".join(names[:40])
    return UsageError(f"unknown {kind} {found!r}{guess} Known: {shown}{'. ' + hint if hint else ''}")
