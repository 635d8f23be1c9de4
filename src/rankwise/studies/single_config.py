"""A configuration for one run: a study of one arm at one learning rate."""

from __future__ import annotations

from typing import Any

from rankwise.adapters import Adapter, Full
from rankwise.errors import unknown
from rankwise.studies.arms import full_arm
from rankwise.studies.config import Arm, StudyConfig, parse_config
from rankwise.studies.scales import SCALES


def single_config(target: Adapter | Full, scale: str, changes: dict[str, Any], lr: float) -> tuple[StudyConfig, Arm]:
    """Return the configuration and its arm.

    Raises:
        UsageError: an unknown scale or setting, or a value out of range.
    """
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    arm = reference = full_arm()
    if isinstance(target, Adapter):
        arm = Arm(name="adapter", label=repr(target), adapter=target.to_dict())
    arms = [reference] if arm is reference else [reference, arm]
    values = {**SCALES[scale], **changes, "preset": "train", "scale": scale, "fresh_seeds": (), "finalists": 0}
    values["eval_every"] = min(values["eval_every"], values["steps"])
    grids = {a.name: [lr] for a in arms}
    dumped = [a.model_dump(mode="json") for a in arms]
    return parse_config({**values, "arms": dumped, "learning_rates": grids}), arm
