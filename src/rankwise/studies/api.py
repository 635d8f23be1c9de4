"""``rankwise.study`` and ``rankwise.train``: the library's two verbs above a single adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rankwise.adapters import Adapter, Full
from rankwise.studies.presets import resolve_study
from rankwise.studies.progress import Progress
from rankwise.studies.single import Trained, run_single
from rankwise.studies.single_config import single_config
from rankwise.studies.study import run_study


def study(
    preset: str = "without-regret",
    *,
    scale: str = "quick",
    out: str | Path | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Run or continue a study; what ``rankwise study`` does, without the report page.

    Args:
        out: the study's folder, ``runs/<preset>-<scale>`` when left out.
        changes: any setting of :class:`rankwise.studies.config.StudyConfig`, for instance ``model``, ``data``,
            ``steps``, ``methods``.

    Returns:
        ``{"results", "cost", "provenance"}``, as in the folder's ``results.json``.
    """
    config = resolve_study(preset, scale, changes)
    folder = Path(out) if out is not None else Path("runs") / f"{config.preset}-{config.scale}"
    return run_study(config, folder, progress=progress)


def train(
    model: str,
    target: Adapter | Full,
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
        target: what trains, for instance ``rankwise.methods.lora(rank=16)`` or ``rankwise.Full()``.
        data: a name, a file, a folder or a hub id.
        lr: learning rate.
        out: folder for the ledger, the checkpoint and the adapter.
        changes: settings that differ from the scale's (``steps``, ``batch``, ``seed``, ...).
    """
    config, arm = single_config(target, scale, {"model": model, "data": data, **changes}, lr)
    return run_single(config, arm, lr, Path(out), progress)
