"""What goes in and out as text: arguments must be text, and no character is too much for a terminal or a pipe."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Sequence
from typing import cast

from rankwise.errors import UsageError

_HANDLER = "rankwise.escaped"


def escape_what_does_not_fit() -> None:
    """Make the standard streams write ``\\uXXXX`` for what their encoding lacks (PYTHONIOENCODING=ascii).

    Inside of JSON, where such characters only stand in strings, that is the same value.
    """
    codecs.register_error(_HANDLER, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors=_HANDLER)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    found = cast(UnicodeEncodeError, error)
    units = found.object[found.start : found.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2)), found.end


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise UsageError for an argument whose bytes are not UTF-8: no study file could hold it."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = argument.encode("ascii", "backslashreplace").decode()
            raise UsageError(f"the argument {shown!r} is not UTF-8 text; rename the file or retype it") from None
