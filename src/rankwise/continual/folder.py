"""A stream's folder: what may be added after it has run, and what may not change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rankwise.continual.tasks import Loaded
from rankwise.errors import UsageError
from rankwise.ledger.differences import first_difference
from rankwise.ledger.folder import StudyFolder
from rankwise.studies.results.file import read_document, write_document

TASKS = "tasks.json"
GROWABLE = frozenset({"tasks", "strategies", "references", "seeds"})


def open_stream(folder: StudyFolder, config: dict[str, Any], tasks: Mapping[str, Loaded]) -> str:
    """Start the stream here, continue it, or append to it; nothing is written when it is refused.

    Returns:
        "created", "resumed" or "extended".

    Raises:
        UsageError: a finished task is gone, moved or has other data, another setting differs, or the folder is another
            study's.
    """
    config = json.loads(json.dumps(config))
    prints = {name: loaded.fingerprint for name, loaded in tasks.items()}
    if not folder.study_file.exists():
        state: str = folder.open_or_create(config)
        write_document(folder.path / TASKS, {"tasks": prints})
        return state
    old = folder.read_config()
    if not _is_stream(old):
        what = f"the study {old['preset']!r}" if old.get("preset") else "a study that is not a stream"
        raise UsageError(f"{folder.path} holds {what}; choose another --out for this stream.")
    _appended("the stream", _ids(old), _ids(config), folder)
    before, now = _orders(old), _orders(config)
    for number, (one, other) in enumerate(zip(before, now, strict=False), 1):
        _appended(f"order {number}", one, other, folder)
    if len(now) < len(before):
        raise UsageError(f"the stream in {folder.path} has {len(before)} orders, this one has fewer; add them.")
    _same_tasks(folder, old["tasks"], config["tasks"])
    _same_data(folder, prints)
    difference = first_difference({**old, "orders": config["orders"]}, config, GROWABLE)
    if difference is not None and not difference.grown:
        raise UsageError(
            f"the stream in {folder.path} has {difference.name} = {difference.old}, this one has {difference.new}; "
            "repeat the old setting, or choose another --out"
        )
    write_document(folder.path / TASKS, {"tasks": prints})
    if difference is None and old["orders"] == config["orders"]:
        return "resumed"
    folder.replace_config(config)
    return "extended"


def _is_stream(config: Mapping[str, Any]) -> bool:
    tasks = config.get("tasks")
    return isinstance(tasks, list) and all(isinstance(task, dict) and "id" in task for task in tasks)


def _ids(config: Mapping[str, Any]) -> list[str]:
    return [task["id"] for task in config["tasks"]]


def _orders(config: Mapping[str, Any]) -> list[list[str]]:
    """The orders that are run: without any, that of the tasks."""
    return config.get("orders") or [_ids(config)]


def _appended(what: str, before: list[str], now: list[str], folder: StudyFolder) -> None:
    for place, name in enumerate(before):
        if name not in now:
            raise UsageError(
                f"task {name!r} was in {what} of {folder.path} and is gone; a stream only grows. Put it back, or "
                "choose another --out."
            )
        if now[place] != name:
            raise UsageError(
                f"task {name!r} was number {place + 1} in {what} of {folder.path} and is number "
                f"{now.index(name) + 1} now; append new tasks at the end, or choose another --out."
            )


def _same_tasks(folder: StudyFolder, before: list[dict[str, Any]], now: list[dict[str, Any]]) -> None:
    for one, other in zip(before, now, strict=False):
        for name in {**one, **other}:
            if one.get(name) != other.get(name):
                raise UsageError(
                    f"task {one['id']!r} of the stream in {folder.path} had {name} {_said(one.get(name))}, now "
                    f"{_said(other.get(name))}; repeat the old setting, or choose another --out."
                )


def _said(value: Any) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


def _same_data(folder: StudyFolder, prints: Mapping[str, str]) -> None:
    path = folder.path / TASKS
    try:
        found = read_document(path)
    except (FileNotFoundError, UsageError):
        return  # a kill before it was written, or a disk fault: runs still have their data in their keys
    known = found.get("tasks")
    known = known if isinstance(known, dict) else found  # an earlier rankwise wrote the tasks alone
    for name, fingerprint in known.items():
        if prints.get(name, fingerprint) != fingerprint:
            raise UsageError(
                f"the data of task {name!r} changed under the stream in {folder.path}; give the old data back, or "
                "choose another --out."
            )
