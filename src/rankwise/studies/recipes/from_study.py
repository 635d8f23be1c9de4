"""``rankwise train --from DIR``: the recipe a study recommends, at full length."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankwise.errors import UsageError, unknown
from rankwise.ledger.folder import StudyFolder
from rankwise.studies.config import Arm, StudyConfig, parse_config
from rankwise.studies.results.file import read_results
from rankwise.studies.running.single_config import of_one_run
from rankwise.studies.settings import merged

LONGER = 10  # a study's runs are short; without --steps the recipe is trained this many times longer


@dataclass(frozen=True)
class Recipe:
    """What to train: the study's settings, one arm, its learning rate."""

    config: StudyConfig
    arm: Arm
    lr: float


def read_recipe(folder: Path, arm: str | None = None) -> Recipe:
    """Return the recommended arm of a finished study, or the named one.

    Raises:
        UsageError: not a finished study, an unknown arm, or a study that recommends nothing.
    """
    study = StudyFolder(folder)
    try:
        config = parse_config(study.read_config())
    except UsageError as error:
        raise UsageError(f"{study.study_file} is not the file of a study that can be repeated: {error}") from None
    try:
        results: dict[str, Any] = read_results(study.results_file)["results"]
    except FileNotFoundError:
        raise UsageError(f"{folder} has no finished study; repeat its command first.") from None
    chosen = arm or results["verdict"]["recommended"]
    if chosen is None:
        names = ", ".join(a["name"] for a in results["arms"])
        raise UsageError(f"the study in {folder} recommends no arm; name one with --arm ({names}).")
    found = next((a for a in results["arms"] if a["name"] == chosen), None)
    if found is None:
        raise unknown("arm", chosen, [a["name"] for a in results["arms"]])
    if found["best_lr"] is None:
        raise UsageError(f"every learning rate of arm {chosen} diverged in {folder}; choose another --arm.")
    return Recipe(config, config.arm(chosen), float(found["best_lr"]))


def full_length(recipe: Recipe, changes: dict[str, Any]) -> StudyConfig:
    """Return the configuration of the long run: ``steps`` (ten times the study's when left out), fresh examples.

    The training split is as large as the run reads, so generated and large data are read once.
    """
    values, changes = recipe.config.to_dict(), of_one_run(changes)
    asked = {name: changes[name] for name in ("steps", "batch") if changes.get(name) is not None}
    checked = parse_config({**values, **asked})
    steps = checked.steps if "steps" in asked else LONGER * recipe.config.steps
    batch = checked.batch if "batch" in asked else recipe.arm.batch or recipe.config.batch
    arms = [a for a in values["arms"] if a["name"] in (recipe.config.reference_arm.name, recipe.arm.name)]
    rates = {a["name"]: [recipe.lr] for a in arms}
    sizes = {**values["sizes"], "train": max(values["sizes"]["train"], steps * batch)}
    long = {"steps": steps, "eval_every": max(1, steps // 10), "sizes": sizes, "arms": arms, "learning_rates": rates}
    # The study's own seeds stay out: this run's start is new.
    fresh = {"seed": max([values["seed"], *values["fresh_seeds"]]) + 1, "fresh_seeds": [], "finalists": 0}
    return parse_config(merged({**values, **long, **fresh}, {**changes, "steps": steps, "preset": "train"}))
