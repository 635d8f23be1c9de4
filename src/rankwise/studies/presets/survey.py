"""A survey: every method of a group for a few steps, to see that it trains on this model, and what it takes.

It judges nothing. A method that the model cannot carry (BitFit where no layer has a bias) is left out with the reason.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from rankwise.adapters import Adapter
from rankwise.adapters.attach import check
from rankwise.cost import blueprint
from rankwise.errors import UsageError
from rankwise.methods import card
from rankwise.studies.config import Arm, StudyConfig
from rankwise.studies.presets.arms import full_arm
from rankwise.studies.presets.method_groups import GROUPS, methods_named
from rankwise.studies.results.schema import Survey, SurveyArm
from rankwise.studies.running.outcome import ArmOutcome, Outcome

RATES = 2  # of the usual grid, from the lowest up
SMOKE_RANK = 4

SETTINGS: dict[str, Any] = {
    "steps": 8,
    "eval_every": 4,
    "schedule": "constant",  # losses along the way are compared, not ends
    "search": "grid",
    "widen": 0,
    "refine": None,
    "fresh_seeds": (),
    "finalists": 0,
    "measure": False,
}

# What happens while an adapter trains needs longer to be seen: a second merge, a second choice of ranks.
DYNAMICS: dict[str, Any] = {"steps": 16}


def settings(names: Sequence[str]) -> dict[str, Any]:
    """Return the settings of a survey of ``names``."""
    return {**SETTINGS, **(DYNAMICS if "dynamics" in names else {})}


def is_group(names: list[str]) -> bool:
    """Return whether ``names`` (of ``--methods``) hold a group, which makes the study a survey."""
    return any(name in GROUPS for name in names)


def survey_arms(names: list[str], scale: str, model: str) -> tuple[Arm, ...]:
    """Return full fine-tuning and one arm for each method of ``names`` (methods and groups) that ``model`` can carry.

    Raises:
        UsageError: an unknown method, or none that fits.
    """
    arms = [arm for arm in _wanted(names, scale) if not objection(arm, model)]
    if not arms:
        raise UsageError(f"{model} can carry none of these methods: {', '.join(names)}.")
    return (full_arm(), *arms)


def left_out(names: list[str], scale: str, model: str) -> dict[str, str]:
    """Return the methods of ``names`` that ``model`` cannot carry, with the reason."""
    found = {arm.method: objection(arm, model) for arm in _wanted(names, scale)}
    return {method: reason for method, reason in found.items() if reason}


def objection(arm: Arm, model: str) -> str:
    """Return why ``model`` cannot carry ``arm``, or an empty string; no weight is read."""
    target = arm.target()
    try:
        if isinstance(target, Adapter):
            check(blueprint(model).model, target)
    except UsageError as error:
        return str(error)
    return ""


def _wanted(names: list[str], scale: str) -> list[Arm]:
    methods = dict.fromkeys(m for name in names for m in (methods_named(name) if name in GROUPS else (name,)))
    return [arm_of(method, scale) for method in methods if method != "full"]


def arm_of(method: str, scale: str) -> Arm:
    """Return a method at its defaults; the tiny model of the smoke scale takes a small rank."""
    parameters = inspect.signature(card(method).build).parameters
    options: dict[str, str | int | float] = {}
    if scale == "smoke" and "rank" in parameters:
        usual = parameters["rank"].default  # None: the method chooses by the width
        options["rank"] = SMOKE_RANK if usual is None else min(int(usual), SMOKE_RANK)
    return Arm(name=method.replace("_", "-"), label=method, method=method, options=options)


def survey(config: StudyConfig, outcome: Outcome) -> Survey | None:
    """Return the part of the document that a survey has: every method's NLL beside the untouched model's."""
    if not config.survey:
        return None
    base = outcome.base_selection.mean
    rows = [_row(arm, base) for arm in outcome.arms.values()]
    names = list(config.survey)
    missing = left_out(names, config.scale, config.model)
    return {"methods": names, "base_nll": base, "left_out": missing, "arms": rows}


def _row(arm: ArmOutcome, base: float) -> SurveyArm:
    """The end of the best run: the last point of its curve, not the best one."""
    ends = {lr: run.curve[-1][1] for lr, run in arm.screening.items() if run and run.status == "done" and run.curve}
    lr = min(ends, key=lambda rate: ends[rate], default=None)
    nll = None if lr is None else ends[lr]
    return {"name": arm.arm.name, "lr": lr, "nll": nll, "below": nll is not None and nll < base}
