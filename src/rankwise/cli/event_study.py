"""``rankwise study orthogonalization``: the study of events, which has arms of its own and no reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rankwise.cli.conducting import conduct
from rankwise.cli.options import changes, say_json, say_text, typed
from rankwise.errors import UsageError
from rankwise.studies.orthogonalization.config import ARMS, PRESET, resolve_events
from rankwise.studies.orthogonalization.study import design, run_events


def study_events(
    own: dict[str, Any],
    unfit: dict[str, Any],
    scale: str | None,
    setting: list[str] | None,
    out: Path | None,
    *,
    json_: bool,
    dry_run: bool,
) -> int:
    """Run the study; returns the exit code.

    Args:
        own: options of ``rankwise study`` that it takes.
        unfit: options it has no use for.

    Raises:
        UsageError: one of those was given, or a setting is wrong.
    """
    for option, value in unfit.items():
        if value is not None:
            raise UsageError(f"{option} is about arms beside a reference, which study {PRESET} has not; leave it out.")
    first, count = own.pop("seed"), own.pop("seeds")
    if first is not None or count is not None:
        own["seeds"] = list(range(first or 0, (first or 0) + (count or 1)))
    config = resolve_events(scale or "quick", changes(setting, **own))
    folder = out or Path("runs") / f"{PRESET}-{config.scale}"
    if dry_run:
        runs = [cell.label for cell in design(config)]
        plan = {"config": config.to_dict(), "out": str(folder), "runs": runs}
        arms = ", ".join(ARMS[name][0] for name in config.arms)
        where = f"on {config.model} and {config.data}, into {folder}"
        text = f"{len(runs)} runs of {config.steps} steps {where}. Arms: {arms}."
        if json_:
            say_json(plan)
        else:
            say_text(text)
        return 0
    return conduct(run_events, config, folder, command=typed("study"), as_json=json_)
