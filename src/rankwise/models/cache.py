"""Our cache of converted models: one folder each, checked by hash on every load."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rankwise.errors import UsageError
from rankwise.files import sync_folder, write_json
from rankwise.locks import waiting_for
from rankwise.reading import read_object

MANIFEST = "manifest.json"
PATIENCE = 300.0  # seconds for another process to fill it; the default model takes ten


def cache_folder() -> Path:
    """Give ``$RANKWISE_CACHE``, else ``$XDG_CACHE_HOME/rankwise``, else ``~/.cache/rankwise``."""
    if own := os.environ.get("RANKWISE_CACHE"):
        return Path(own).expanduser()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser() / "rankwise"
    return Path.home() / ".cache" / "rankwise"


def sha256_of(path: Path) -> str:
    """Hash a file in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_entry(folder: Path) -> dict[str, Any] | None:
    """Check every file of a cached model against its manifest.

    Returns:
        What was given to :func:`write_entry` as ``facts``; None when the folder is missing, incomplete,
        truncated or changed, or holds a file (hidden ones aside) that the manifest does not list.
    """
    try:
        manifest = read_object(folder / MANIFEST)
        files, facts = manifest["files"], manifest["facts"]
        present = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        if present != {*files, MANIFEST}:
            return None
        sizes_fit = all((folder / name).stat().st_size == entry["bytes"] for name, entry in files.items())
        if sizes_fit and all(sha256_of(folder / name) == entry["sha256"] for name, entry in files.items()):
            return dict(facts)
    except (OSError, UsageError, KeyError, TypeError, AttributeError):
        pass
    return None


def write_entry(folder: Path, fill: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Make a cached model: ``fill`` writes its files into an empty folder and returns facts to remember.

    It appears whole or not at all. Of several processes, one fills and the others wait and take its result.

    Raises:
        UsageError: the cache cannot be written, or another process fills it and does not end.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with waiting_for(folder.parent / f".{folder.name}.lock", f"the model cache {folder}", PATIENCE):
            if (facts := read_entry(folder)) is not None:
                return facts  # another process was first
            for stale in folder.parent.glob(f".{folder.name}.*.tmp"):
                shutil.rmtree(stale)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
            try:
                facts = fill(temporary)
                _seal(temporary, facts)
                if folder.exists():  # the damaged one
                    shutil.rmtree(folder)
                temporary.rename(folder)
                sync_folder(folder.parent)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            return facts
    except OSError as error:
        raise UsageError(
            f"cannot write the model cache {folder.parent}: {error.strerror or error}; free the space or set "
            "RANKWISE_CACHE to a folder you can write"
        ) from error


def _seal(folder: Path, facts: dict[str, Any]) -> None:
    files = {}
    for path in sorted(folder.iterdir()):
        path.chmod(0o644)
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    write_json(folder / MANIFEST, {"facts": facts, "files": files})
    folder.chmod(0o755)
