"""The two kinds of trouble a person can meet, each one clear sentence and one exit code.

Raise :class:`UsageError` for anything the person can correct (argument, option, file, column, model name);
raise :class:`RunError` for a fault while running. Messages say what, where and what to do next.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


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
    guess = f"; did you mean {near}?" if (near := nearest(found, names)) else "."
    shown = ", ".join(names[:40])
    return UsageError(f"unknown {kind} {found!r}{guess} Known: {shown}{'. ' + hint if hint else ''}")


def nearest(found: str, known: Iterable[str]) -> str:
    """Return the names most like ``found``, as "'lora' or 'olora'"; empty when none is."""
    return " or ".join(map(repr, difflib.get_close_matches(found, list(known), n=3, cutoff=0.6)))


def no_option(what: str, found: str, known: Iterable[str]) -> UsageError:
    """Build the error for an option that ``what`` does not take.

    >>> str(no_option("method 'lora'", "ranks", ["rank", "alpha"]))
    "method 'lora' has no option 'ranks'; did you mean 'rank'? It takes rank, alpha."
    """
    names = list(known)
    near = nearest(found, names)
    guess = f"did you mean {near}? It" if near else "it"
    return UsageError(f"{what} has no option {found!r}; {guess} takes {', '.join(names) or 'no options'}.")


def no_attribute(module: str, found: str, known: Iterable[str]) -> AttributeError:
    """Build the error for a name that a module does not have, with the nearest that it has."""
    near = nearest(found, known)
    return AttributeError(f"module {module!r} has no attribute {found!r}" + (f"; did you mean {near}?" if near else ""))


def checked(function: Callable[P, R], what: str) -> Callable[P, R]:
    """Return ``function``, as people call it: an option it does not take is a :class:`UsageError` with the nearest."""
    parameters = inspect.signature(function).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in parameters and not takes_any:
                raise no_option(what, name, parameters)
        return function(*args, **kwargs)

    return call
