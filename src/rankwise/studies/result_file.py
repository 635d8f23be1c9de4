"""``results.json`` and its like on disk: JSON objects that carry a digest, outside of what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankwise.digests import DamagedError, sealed, unsealed
from rankwise.errors import UsageError
from rankwise.files import write_json


def write_document(path: Path, value: Mapping[str, Any]) -> None:
    """Atomically write a JSON object with its digest."""
    write_json(path, sealed(value))


def read_document(path: Path) -> dict[str, Any]:
    """Read :func:`write_document`'s object, without its digest; one of an earlier rankwise has none.

    Raises:
        FileNotFoundError: there is none.
        UsageError: it is no JSON object, or not what was written.
    """
    again = "run the study again, finished runs are kept"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise UsageError(f"{path} does not hold a JSON object; {again}.")
        return unsealed(value)
    except FileNotFoundError:
        raise
    except DamagedError as error:
        raise UsageError(f"{path} is damaged: {error}; {again}.") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path} is not readable JSON ({reason}); {again}.") from None
