"""The Hugging Face hub, when a network is there; its local cache when not."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankwise.errors import UsageError
from rankwise.models.folder import load_folder, reason_of
from rankwise.models.quiet import quiet

if TYPE_CHECKING:
    import torch

WAIT = 5.0  # seconds; without this probe huggingface_hub retries for 25 s before it gives up
FILES = ["*.json", "model*.safetensors", "*.model", "*.txt", "*.jinja"]  # no pickles, no code, no other formats


def load_hub(repo: str, dtype: torch.dtype | None) -> tuple[Any, Any, tuple[str, ...]]:
    """Load ``owner/name`` from the hub, or from the hub's cache on this machine.

    Returns:
        The model (CPU), the tokenizer and notes, among them the revision.

    Raises:
        UsageError: as :func:`hub_folder`, or the model cannot be used.
    """
    folder = hub_folder(repo)
    model, tokenizer, notes = load_folder(folder, dtype)
    return model, tokenizer, (*notes, f"Hub revision {folder.name}.")


def hub_folder(repo: str) -> Path:
    """Return the folder of ``owner/name`` on this machine, downloaded if a network is there.

    Raises:
        UsageError: there is no such model, it may not be read, or there is no network and no cached copy.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    status = None if constants.HF_HUB_OFFLINE else probe(f"{constants.ENDPOINT}/{repo}/resolve/main/config.json")
    if status in (401, 403, 404):
        raise UsageError(
            f"{constants.ENDPOINT} has no model {repo} that you may read (HTTP {status}); check the name, or "
            "accept its license there and run `hf auth login`"
        )
    try:
        with quiet():
            folder = snapshot_download(repo, allow_patterns=FILES, local_files_only=status is None)
    except (OSError, ValueError, HfHubHTTPError) as error:
        if status is not None:
            raise UsageError(f"cannot download {repo}: {reason_of(error)}; try again later") from error
        raise UsageError(
            f"{repo} is not in the hub's cache on this machine and {constants.ENDPOINT} cannot be reached; "
            "give a model folder, or `default`, which needs no network once installed"
        ) from error
    return Path(folder)


def probe(url: str, wait: float = WAIT) -> int | None:
    """Ask for the head of ``url`` and give the HTTP status, or None when no answer comes in ``wait`` seconds.

    It waits in a thread, because a name lookup without a network has no timeout of its own.
    """
    found: list[int] = []
    asking = threading.Thread(target=_head, args=(url, wait, found), daemon=True)
    asking.start()
    asking.join(wait)
    return found[0] if found else None


def _head(url: str, wait: float, found: list[int]) -> None:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=wait) as answer:
            found.append(answer.status)
    except urllib.error.HTTPError as error:
        found.append(error.code)
    except OSError:  # no route, no name, refused, timed out
        pass
