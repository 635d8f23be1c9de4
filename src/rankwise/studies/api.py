"""``rankwise.train``: one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rankwise.adapters import Adapter, Full
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.methods import build
from rankwise.studies.config import MadeBy
from rankwise.studies.running.single import Trained, run_single
from rankwise.studies.running.single_config import single_config


def train(
    model: str,
    target: Adapter | Full | str,
    data: str,
    *,
    lr: float,
    out: str | Path,
    scale: str = "quick",
    progress: Progress | None = None,
    **changes: Any,
) -> Trained:
    """Train one adapter, or all weights, and score it on the test split; what ``rankwise train`` does.

    Args:
        model: ``default``, ``tiny``, a folder or a hub id.
        target: what trains, for instance ``rankwise.methods.lora(rank=16)`` or ``rankwise.Full()``, or a method's name.
        data: a name, a file, a folder or a hub id.
        lr: learning rate.
        out: folder for the ledger, the checkpoint and the adapter.
        changes: settings that differ from the scale's (``steps``, ``batch``, ``seed``, ...).
    """
    made_by = None
    if isinstance(target, str):
        made_by = MadeBy(method=target)
        target = build(target)
    if not isinstance(target, Adapter | Full):
        raise UsageError(f"target must be an adapter, Full() or a method's name, found a {type(target).__name__}.")
    config, arm = single_config(target, scale, {"model": model, "data": data, **changes}, lr, made_by)
    return run_single(config, arm, Path(out), progress)
