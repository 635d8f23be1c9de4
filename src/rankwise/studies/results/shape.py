"""Holds a result file against :mod:`.schema` before anything reads it: which entries, of which kind. More may be there.

A file of our own states a digest and has this shape; one without a digest may have been written by anyone.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from rankwise.errors import UsageError
from rankwise.studies.results.schema import EventsDocument, StreamDocument, StudyDocument

AGAIN = "run the study again, finished runs are kept"
KINDS: dict[str | None, type] = {None: StudyDocument, "events": EventsDocument, "stream": StreamDocument}
_SHOWN = 60
_NEEDS = {
    "missing": "is missing",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "literal_error": "is no word that this rankwise knows",
}


def check_shape(document: dict[str, Any], path: Path) -> None:
    """Check the entries of a result file.

    Raises:
        UsageError: one is missing or of another kind; the first is named.
    """
    from pydantic import ValidationError

    kind = document["results"].get("kind")
    if not isinstance(kind, str | None) or kind not in KINDS:
        raise UsageError(f"{path}: results of kind {_short(kind)} are not known to this rankwise; {AGAIN}.")
    try:
        _checker(kind).validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        found = "" if first["type"] == "missing" else f", found {_short(first['input'])}"
        need = _NEEDS.get(first["type"], first["msg"])
        raise UsageError(f"{path} is not a result file: {where} {need}{found}; {AGAIN}.") from None


@functools.cache
def _checker(kind: str | None) -> Any:
    """Strict about kinds (a number is no text); what the schema does not name may be anything."""
    from pydantic import ConfigDict, TypeAdapter, with_config

    return TypeAdapter(with_config(ConfigDict(strict=True))(KINDS[kind]))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
