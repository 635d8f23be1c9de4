"""``rankwise.study``: a whole study from Python, with its page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rankwise.execution.progress import Progress
from rankwise.report import write_report
from rankwise.studies.presets.resolve import resolve_file, resolve_study
from rankwise.studies.results.schema import StudyDocument
from rankwise.studies.study import run_study


def study(
    preset: str | Path = "without-regret",
    *,
    scale: str | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> StudyDocument:
    """Run or continue a study and write its report; what ``rankwise study`` does, without printing.

    Args:
        preset: a named question, or a study written in a .yaml file.
        scale: ``quick`` when left out, or what the file says.
        out: the study's folder, ``runs/<preset>-<scale>`` (or the file's name) when left out.
        changes: any setting of :class:`rankwise.studies.config.StudyConfig`, for instance ``model``, ``data``,
            ``steps``, ``methods``.

    Returns:
        ``{"results", "cost", "provenance"}``, as in the folder's ``results.json``.

    Raises:
        UsageError: an unknown preset, scale or setting, a value out of range, no such model or data.
    """
    file = Path(preset) if Path(preset).suffix in (".yaml", ".yml") else None
    if file is not None:
        config = resolve_file(file, changes | ({"scale": scale} if scale else {}))
    else:
        config = resolve_study(str(preset), scale or "quick", changes)
    folder = Path(out or Path("runs") / (file.stem if file else f"{config.preset}-{config.scale}"))
    command = ["rankwise", "study", str(folder / "study.yaml"), "--out", str(folder)]  # which continues it
    document = run_study(config, folder, progress=progress, command=shlex.join(command))
    write_report(document, folder)
    return document
