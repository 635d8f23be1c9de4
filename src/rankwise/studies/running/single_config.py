"""A configuration for one run: a study of one arm at one learning rate."""

from __future__ import annotations

from typing import Any

from rankwise.adapters import Adapter, Full
from rankwise.errors import UsageError, unknown
from rankwise.studies.config import Arm, MadeBy, StudyConfig, parse_config
from rankwise.studies.presets.arms import full_arm
from rankwise.studies.presets.scales import SCALES
from rankwise.studies.settings import as_named, merged

# Settings that say how a study's runs are chosen and judged, and what may be given for a single run instead.
OF_A_STUDY = {
    **dict.fromkeys(("preset", "reference", "fresh_seeds", "finalists", "margin", "search", "halving", "widen"), ""),
    **dict.fromkeys(("refine", "budget", "cheapest_by", "measure", "survey"), ""),
    **dict.fromkeys(("methods", "arms"), "its method is given by itself"),
    "method": "options and events are given to its method itself",
    "learning_rates": "its rate is lr",
    "scale": "it is given by itself",
}


def single_config(
    target: Adapter | Full, scale: str, changes: dict[str, Any], lr: float, made_by: MadeBy | None = None
) -> tuple[StudyConfig, Arm]:
    """Return the configuration and its arm.

    Args:
        made_by: the method that made ``target``, where its name is known.

    Raises:
        UsageError: an unknown scale or setting, or a value out of range.
    """
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    arm = reference = full_arm()
    if isinstance(target, Adapter):
        arm = Arm(name="adapter", label=repr(target), adapter=target.to_dict(), made_by=made_by)
    arms = [reference] if arm is reference else [reference, arm]
    asked = of_one_run(changes)
    values = {**merged(SCALES[scale], asked), "preset": "train", "scale": scale, "fresh_seeds": (), "finalists": 0}
    if all(isinstance(values[name], int) for name in ("eval_every", "steps")):  # else refused below
        values["eval_every"] = min(values["eval_every"], values["steps"])
    grids = {a.name: [lr] for a in arms}
    dumped = [a.model_dump(mode="json") for a in arms]
    return parse_config({**values, "arms": dumped, "learning_rates": grids}), arm


def of_one_run(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that were given for a single run.

    Raises:
        UsageError: one of them does nothing there, or names model or data by something else than text or a path.
    """
    for name in changes:
        if name in OF_A_STUDY:
            instead = f" ({OF_A_STUDY[name]})" if OF_A_STUDY[name] else ""
            raise UsageError(
                f"setting {name!r} is about a study of several runs and would do nothing in a single one{instead}; "
                "leave it out."
            )
    return as_named(changes)
