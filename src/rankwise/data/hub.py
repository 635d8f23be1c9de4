"""Data sets from the Hugging Face hub, ``owner/name`` or ``owner/name:config``."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from rankwise.data.bad_rows import STRICT, Skipping
from rankwise.data.columns import Columns
from rankwise.data.examples import CompletionStyle
from rankwise.data.forms import Rows
from rankwise.data.numbers import exact_rows
from rankwise.data.sources import SPLIT_WORDS, read_splits
from rankwise.data.splitting import Found
from rankwise.errors import UsageError

ID = re.compile(r"(?P<name>[\w-][\w.-]*/[\w-][\w.-]*)(:(?P<config>[\w.-]+))?")


def load_hub(spec: str, style: CompletionStyle, skip: Skipping = STRICT, columns: Columns | None = None) -> Found:
    """Read a hub data set. Any failure to get it is one UsageError that says how to go on without the hub."""
    match = ID.fullmatch(spec)
    if match is None:
        raise UsageError(f"{spec!r} is not a hub id; expected owner/name or owner/name:config")
    try:
        import datasets  # slow to import, and needed by nothing else here

        if not _reachable():
            _go_offline()
        loaded = datasets.load_dataset(match["name"], match["config"])
    except Exception as error:  # offline, unknown id, missing config, gated: all the same to the person
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"no local file or folder {spec!r}, and it could not be loaded from the Hugging Face hub ({reason}); "
            "check the spelling and the connection, or download it and give a local file or folder"
        ) from error
    splits: dict[str, Rows] = {}
    for split, words in SPLIT_WORDS.items():
        for name in (name for name in loaded if name in words):
            if split in splits:
                raise UsageError(f"{spec}: more than one {split} split: {', '.join(loaded)}")
            exact = _exact(loaded[name])
            splits[split] = [(f"{spec} {name} row {n}", exact(row)) for n, row in enumerate(loaded[name], start=1)]
            if not splits[split]:
                raise UsageError(f"{spec}: the {name} split is empty")
    if "train" not in splits and len(splits) == 1:
        splits = {"train": next(iter(splits.values()))}
    if not splits or ("train" not in splits and len(splits) < 2):
        raise UsageError(f"{spec}: no train split; it has {', '.join(loaded)}")
    classes = _class_names(loaded)
    if columns:  # any column may be the answer: classes by their names there
        splits = {split: _named(rows, classes) for split, rows in splits.items()}
    labels = classes.get((columns or {}).get("label", "label").lower(), ())
    task = match["name"].split("/")[1]
    return read_splits(splits, style, task=task, labels=labels, skip=skip, columns=columns)


def _class_names(loaded: Any) -> dict[str, tuple[str, ...]]:
    """Names of the classes that a column counts, by column in lower case, where the data set declares them."""
    found: dict[str, tuple[str, ...]] = {}
    for split in loaded.values():
        for column, feature in (getattr(split, "features", None) or {}).items():
            if getattr(feature, "names", None):
                found.setdefault(column.lower(), tuple(feature.names))
    return found


def _named(rows: Rows, classes: Mapping[str, tuple[str, ...]]) -> Rows:
    """Rows with the names of their classes in place of numbers; a number that counts none stays."""

    def name(column: str, value: Any) -> Any:
        names = classes.get(column.lower(), ())
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else value

    return [(where, {column: name(column, value) for column, value in row.items()}) for where, row in rows]


def _exact(split: Any) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """What gives the rows of a split their own digits, where it declares the types of its columns."""
    features = getattr(split, "features", None)
    return exact_rows(features.arrow_schema) if features else lambda row: row


def _reachable() -> bool:
    """Whether the hub's name resolves, so that nobody waits half a minute for retries without a network."""
    if any(os.environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True  # the proxy resolves names
    host = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True


def _go_offline() -> None:
    """Let the libraries use only what they have cached, as HF_HUB_OFFLINE=1 does when set before they start."""
    import datasets.config
    import huggingface_hub.constants

    datasets.config.HF_HUB_OFFLINE = True
    huggingface_hub.constants.HF_HUB_OFFLINE = True
