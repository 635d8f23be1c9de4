"""``rankwise study NAME`` where NAME is a preset of another kind, with arms of its own and no reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rankwise.cli.conducting import conduct
from rankwise.cli.options import changes, say_json, say_text, typed
from rankwise.errors import UsageError
from rankwise.studies.presets.other_kinds import OTHER_KINDS, OtherConfig


def study_another_kind(
    preset: str,
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
        preset: a name of :data:`OTHER_KINDS`.
        own: options of ``rankwise study`` that it takes.
        unfit: options it has no use for.

    Raises:
        UsageError: one of those was given, or a setting is wrong.
    """
    for option, value in unfit.items():
        if value is not None:
            raise UsageError(f"{option} is about arms beside a reference, which study {preset} has not; leave it out.")
    kind = OTHER_KINDS[preset]()
    first, count = own.pop("seed"), own.pop("seeds")
    if first is not None or count is not None:
        own["seeds"] = list(range(first or 0, (first or 0) + (count or 1)))
    config: OtherConfig = kind.resolve(scale or "quick", changes(setting, **own))
    folder = out or Path("runs") / f"{preset}-{config.scale}"
    if dry_run:
        runs = kind.runs(config)
        plan = {"config": config.to_dict(), "out": str(folder), "runs": runs}
        where = f"on {config.model} and {config.data}, into {folder}"
        text = f"{len(runs)} runs of {config.steps} steps {where}. Arms: {', '.join(kind.arms(config))}."
        if json_:
            say_json(plan)
        else:
            say_text(text)
        return 0
    return conduct(kind.run, config, folder, command=typed("study"), as_json=json_)
