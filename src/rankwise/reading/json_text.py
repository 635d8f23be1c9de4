"""JSON: nesting and digits have limits, a key comes once, and a fault is reported with its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rankwise.errors import UsageError
from rankwise.reading.plain_text import CONFIG_BYTES, read_text

DEPTH = 100  # brackets inside each other; published files have fewer than ten


class _RefusedError(Exception):
    """What the parser takes and we do not; the text is one clause."""


def parse_json(
    text: str, where: str, *, expected: str = "JSON", read_float: Callable[[str], float] = float, cure: str = ""
) -> Any:
    """Read JSON.

    Args:
        where: of what; it begins every sentence, and names the line already where it holds " line ".
        expected: what should be there.
        read_float: makes a number of one with a point or an exponent.
        cure: what to do about it; it ends the sentence.

    Raises:
        UsageError: it is not JSON, is nested too deeply, has a key twice or a number that is too long.
    """
    cure = f"; {cure}" if cure else ""
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_float=read_float)
        _check_depth(value)
        if "\\ud" in text or "\\uD" in text:  # half a surrogate pair can only be spelled so
            _check_names(value)
        return value
    except json.JSONDecodeError as error:
        place = "" if " line " in where else f" line {error.lineno}"
        raise UsageError(
            f"{where}{place}: broken JSON at column {error.colno}: {error.msg}; expected {expected}{cure}"
        ) from error
    except _RefusedError as refused:
        raise UsageError(f"{where}: {refused}{cure}") from None
    except RecursionError:
        raise UsageError(f"{where}: cannot be read as JSON, nested too deeply; expected {expected}{cure}") from None
    except (ValueError, OverflowError) as error:  # more digits than Python takes
        raise UsageError(f"{where}: cannot be read as JSON, a number is too long; expected {expected}{cure}") from error


def read_json(
    path: Path, *, expected: str = "JSON", cure: str = "copy it again", most: int | None = CONFIG_BYTES
) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: there is none.
        UsageError: as :func:`parse_json`, or the file cannot be read as text.
    """
    return parse_json(read_text(path, most=most, cure=cure), str(path), expected=expected, cure=cure)


def read_object(
    path: Path, *, expected: str = "a JSON object", cure: str = "copy it again", most: int | None = CONFIG_BYTES
) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        FileNotFoundError: there is none.
        UsageError: as :func:`read_json`, or it holds something else.
    """
    value = read_json(path, expected=expected, cure=cure, most=most)
    if not isinstance(value, dict):
        raise UsageError(f"{path}: expected {expected}, found {kind_of(value)}; {cure}")
    return value


def kind_of(value: Any) -> str:
    """Name the kind of a JSON value as people who write JSON do.

    >>> kind_of([1]), kind_of(None), kind_of(True)
    ('a list', 'null', 'true or false')
    """
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        begins = json.dumps(dict(pairs[:1]), ensure_ascii=False, default=str)[:60].rstrip("}")
        raise _RefusedError(
            f"the key {twice!r} comes twice in the object that begins {begins}; only one of them can be meant: remove "
            "or rename the other"
        )
    return found


def _check_names(value: Any) -> None:
    """Raise for a key that no file or terminal could hold."""
    if isinstance(value, dict):
        for key in value:
            if any("\ud800" <= letter <= "\udfff" for letter in key):
                raise _RefusedError(f"the key {key!a} holds half a character (a lone surrogate); rename it")
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_names(item)


def _check_depth(value: Any) -> None:
    """Raise RecursionError past DEPTH, whatever the interpreter's own limit is."""
    level = [value]
    for _ in range(DEPTH):
        level = (
            [
                item
                for part in level
                for item in (part.values() if isinstance(part, dict) else part)
                if isinstance(item, dict | list)
            ]
            if level and isinstance(level[0], dict | list)
            else []
        )
        if not level:
            return
    raise RecursionError
