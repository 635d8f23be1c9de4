"""``results.json`` and its like on disk: JSON objects that carry a digest, outside of what they say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankwise.digests import DamagedError, sealed, unsealed
from rankwise.errors import UsageError
from rankwise.files import write_json
from rankwise.reading import read_object
from rankwise.studies.results.shape import AGAIN, check_shape

__all__ = ["AGAIN", "check_results", "read_cells", "read_document", "read_results", "write_document"]


def write_document(path: Path, value: Mapping[str, Any]) -> None:
    """Atomically write a JSON object with its digest."""
    write_json(path, sealed(value))


def read_document(path: Path) -> dict[str, Any]:
    """Read :func:`write_document`'s object, without its digest; one of an earlier rankwise has none.

    Raises:
        FileNotFoundError: there is none.
        UsageError: it is no JSON object, or not what was written.
    """
    value = read_object(path, cure=AGAIN, most=None)
    try:
        return unsealed(value)
    except DamagedError as error:
        raise UsageError(f"{path} is damaged: {error}; {AGAIN}.") from None


def read_results(path: Path) -> dict[str, Any]:
    """Read the ``results.json`` of a study, its entries those that its readers rely on.

    Raises:
        FileNotFoundError: there is none.
        UsageError: as :func:`read_document`, or it holds no results, or others (see :mod:`.result_shape`).
    """
    document = read_document(path)
    check_results(document, path)
    return document


def check_results(document: dict[str, Any], path: Path) -> None:
    """Raise as :func:`read_results` for a document that was read from ``path``."""
    if not isinstance(results := document.get("results"), dict) or not results:
        raise UsageError(f"{path} holds no results of a study; {AGAIN}.")
    check_shape(document, path)


def read_cells(path: Path) -> list[str]:
    """Read the names of a study's cells from ``cells.json``.

    Raises:
        UsageError: as :func:`read_document`, or a name that is no folder's.
    """
    names = read_document(path).get("cells", [])
    if not isinstance(names, list) or not all(isinstance(n, str) and Path(n).name == n for n in names):
        raise UsageError(f"{path}: cells must be a list of folder names; {AGAIN}.")
    return names
