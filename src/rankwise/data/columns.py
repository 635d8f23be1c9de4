"""``--columns``: what is read as a form's columns when a file calls them otherwise.

``prompt=text,completion=category`` reads column ``text`` as the prompt. A value with braces is a template over the
file's columns: ``prompt={premise} Because {question}?``. ``answers.text`` is what is inside a column; of a list, its
first item.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any, NamedTuple

from rankwise.data.bad_rows import BadRow
from rankwise.data.forms import FORMS, Form, Rows, lower_keys
from rankwise.data.forms.text import optional_text
from rankwise.errors import UsageError, unknown

Columns = Mapping[str, str]
PAIR = re.compile(r"(?:^|,)\s*([A-Za-z_]\w*)\s*=")  # a comma inside a template is one unless a name and = follow it
EXAMPLE = "such as prompt=text,completion=category"
ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}


class Renamed(NamedTuple):
    """Rows under the names that were asked for, the columns that are not used, and notes for the reader."""

    splits: dict[str, Rows]
    unread: tuple[str, ...]
    notes: tuple[str, ...]


def parse_columns(given: str | Mapping[str, Any]) -> dict[str, str]:
    """Read the option, or check the mapping that says the same; in the option's templates ``\\n`` is a line break.

    Raises:
        UsageError: it is not made of NAME=COLUMN, a name is unknown or comes twice, or a template is broken.
    """
    pairs = _pairs(given) if isinstance(given, str) else list(given.items()) if isinstance(given, Mapping) else []
    known = {name for form in FORMS for name in form.columns + form.optional}
    found: dict[str, str] = {}
    for name, source in pairs:
        name = str(name).lower()
        if name not in known:
            raise unknown("name in columns", name, known, hint="The file's own column stands after the =")
        if name in found:
            raise UsageError(f"columns give {name!r} twice; keep one")
        if not isinstance(source, str) or not source.strip():
            raise UsageError(f"columns: {name!r} needs a column of the file or a template, found {source!r}; {EXAMPLE}")
        names_in(source)
        found[name] = source if _is_template(source) else source.strip()
    if not found:
        raise UsageError(f"columns must say which column is read as what, {EXAMPLE}; found {given!r}")
    return found


def spelled(columns: Columns) -> str:
    """The option that says ``columns``, on one line."""
    escapes = {value: f"\\{key}" for key, value in ESCAPES.items()}
    texts = {
        name: "".join(escapes.get(c, c) for c in text) if _is_template(text) else text for name, text in columns.items()
    }
    return ",".join(f"{name}={text}" for name, text in texts.items())


def names_in(source: str) -> list[str]:
    """The file's columns that a template or a plain name uses.

    Raises:
        UsageError: a template without a name between braces, or with anything but a name there.
    """
    if not _is_template(source):
        return [source]
    try:
        fields = [(name, spec, how) for _, name, spec, how in string.Formatter().parse(source) if name is not None]
    except ValueError as error:
        raise UsageError(f"columns: template {source!r} is broken: {error}; write {{{{ for a brace itself") from None
    if not fields or any(not name.strip() or spec or how for name, spec, how in fields):
        raise UsageError(
            f"columns: template {source!r} needs the names of columns between braces, such as {{question}}"
        )
    return [name.strip() for name, _, _ in fields]


def rename(splits: dict[str, Rows], columns: Columns) -> Renamed:
    """Give every row the columns that were asked for.

    Names that make a form by themselves are all that is read; otherwise the file's own columns complete them.

    Raises:
        UsageError: a column that a row lacks, with near matches; or names that make no form together.
    """
    rows = next(iter(splits.values()))
    where, first = next((placed for placed in rows if not isinstance(placed[1], BadRow)), rows[0])
    sources = _completed(columns, lower_keys(first, where), where)
    used = {name for source in sources.values() for name in names_in(source)}
    taken = {part.lower() for name in used for part in (name, name.partition(".")[0])}
    made: dict[str, Rows] = {}
    unread: dict[str, None] = {}
    notes = [f"columns are read as {spelled(columns)}"]
    for split, rows in splits.items():
        made[split] = []
        blank: dict[str, int] = {}
        for where, row in rows:
            made[split].append((where, _renamed(row, sources, where, blank)))
            unread.update(dict.fromkeys(key for key in map(str, row) if key.lower() not in taken))
        notes += [
            f"{count} {split} rows have nothing in column {name!r} of a template" for name, count in blank.items()
        ]
    return Renamed(made, tuple(unread), tuple(notes))


def _renamed(row: Mapping[str, Any], sources: Columns, where: str, blank: dict[str, int]) -> Mapping[str, Any]:
    """The row under the names that were asked for; a :class:`BadRow` where that cannot be."""
    if isinstance(row, BadRow):
        return row
    try:
        lowered = lower_keys(row, where)
        return {name: _made(source, lowered, where, blank) for name, source in sources.items()}
    except UsageError as error:
        return BadRow(error)


def _pairs(text: str) -> list[tuple[str, str]]:
    places = list(PAIR.finditer(text))
    if not places or places[0].start() != 0:
        raise UsageError(f"--columns needs NAME=COLUMN, {EXAMPLE}; found {text!r}")
    ends = [*(place.start() for place in places[1:]), len(text)]
    found = [(place[1], text[place.end() : end]) for place, end in zip(places, ends, strict=True)]
    return [(name, _unescaped(source) if _is_template(source) else source) for name, source in found]


def _unescaped(template: str) -> str:
    return re.sub(r"\\([nt\\])", lambda match: ESCAPES[match[1]], template)


def _is_template(source: str) -> bool:
    return "{" in source or "}" in source


def _completed(columns: Columns, row: Mapping[str, Any], where: str) -> dict[str, str]:
    """``columns``, and the file's own where a form needs more than they give."""
    given = set(columns)
    used = [name for source in columns.values() for name in names_in(source)]
    for name in used:
        _value(name, row, where)  # a column that is not there is told first
    own = set(row) - {name.lower() for name in used} - given
    for there in (set[str](), own):
        for form in FORMS:
            if given <= set(_takes(form)) and set(form.columns) <= given | there:
                return {**columns, **{name: name for name in _takes(form) if name in there}}
    fitting = [form for form in FORMS if given <= set(_takes(form))]
    sets = "; ".join(", ".join(form.columns) for form in fitting or FORMS)
    raise UsageError(
        f"{where}: columns give {', '.join(columns)}, which is no whole row; give all of one of these sets: {sets}. "
        f"The file has {', '.join(row) or 'no columns'}"
    )


def _takes(form: Form) -> tuple[str, ...]:
    return form.columns + form.optional


def _made(source: str, row: Mapping[str, Any], where: str, blank: dict[str, int]) -> Any:
    """A column as it is, or the text of a template; what a template finds empty is counted in ``blank``."""
    if not _is_template(source):
        return _value(source, row, where)
    text = ""
    for literal, name, _, _ in string.Formatter().parse(source):
        text += literal
        if name is not None:
            part = optional_text(_value(name.strip(), row, where), name.strip(), where)
            if not part:
                blank[name.strip()] = blank.get(name.strip(), 0) + 1
            text += part
    return text


def _value(name: str, row: Mapping[str, Any], where: str) -> Any:
    if name.lower() in row:
        return row[name.lower()]
    head, *inside = name.split(".")
    if not inside or head.lower() not in row:
        raise unknown("column", name, row, hint=f"columns name it, {where} has it not")
    value = _first(row[head.lower()])
    for key in inside:
        if not isinstance(value, Mapping) or key not in value:
            held = ", ".join(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
            raise UsageError(f"{where}: columns name {name!r}, but there is no {key!r} in it; it holds {held}")
        value = _first(value[key])
    return value


def _first(value: Any) -> Any:
    """The first item of a list, None of an empty one; anything else itself."""
    return (value[0] if value else None) if isinstance(value, list) else value
