"""The folder of files behind a base's name, for what works on files and never loads the model."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from rankwise.errors import UsageError, unknown
from rankwise.models.cache import cache_folder, read_entry
from rankwise.models.default import ENTRY, HUB_ID, NAME, load_default
from rankwise.models.hub import hub_folder


def folder_of(name: str, progress: Callable[[str], None] | None = None) -> Path:
    """Return the folder of ``default``, of a model folder, or of a hub id; see :func:`rankwise.models.load_base`.

    Raises:
        UsageError: there is no such model, or it has no files.
    """
    if name in ("default", NAME):
        entry = cache_folder() / ENTRY
        if read_entry(entry) is None:
            import torch

            load_default(torch.bfloat16, progress)  # fills the cache when the wheel is installed
        return entry if entry.is_dir() else hub_folder(HUB_ID)
    if (path := Path(name).expanduser()).is_dir():
        return path
    if name == "tiny":
        raise UsageError(
            "the base 'tiny' is made in code and has no files; save it with save_pretrained, and give that."
        )
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith("."):
        return hub_folder(name)
    if path.exists() or "/" in name:
        raise UsageError(
            f"the model folder {name} does not exist; give a folder with config.json, or a hub id owner/name."
        )
    raise unknown("model", name, ["default", NAME], hint="A folder or a hub id owner/name can be given too")
