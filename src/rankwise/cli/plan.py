"""``--dry-run``: the runs a study would make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from rankwise.cli import console
from rankwise.cli.options import say_json
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.stats.crossed import FEWEST_SEEDS
from rankwise.stats.looks import Look
from rankwise.stats.verdict import ERROR
from rankwise.studies.budget.forecast import Forecast, forecast
from rankwise.studies.budget.plan import words
from rankwise.studies.cells import Cell
from rankwise.studies.config import StudyConfig


def show_plan(config: StudyConfig, folder: Path, *, as_json: bool, cells: list[Cell]) -> None:
    """Print the resolved study: as JSON the whole configuration, else a table."""
    studies = [cell.study(config, len(cells)) for cell in cells]
    estimates, why = _estimates(studies)
    if as_json:
        plan: dict[str, Any] = {
            "config": config.to_dict(),
            "out": str(folder),
            "cells": [[c.model, c.data] for c in cells],
        }
        alone = estimates[0].to_dict() if len(estimates) == 1 else None
        plan |= {"forecast": alone, "no_forecast": why}
        if len(studies) > 1:
            plan["forecasts"] = [estimate.to_dict() for estimate in estimates] or None
            plan["left_out"] = [sorted(cell.without) for cell in cells]
        say_json(plan)
        return
    table = Table("arm", "update", "learning rates", title=f"{config.preset} at scale {config.scale}")
    for arm in config.arms:
        rates = ", ".join(f"{lr:g}" for lr in config.learning_rates[arm.name])
        table.add_row(escape(arm.label), escape(repr(arm.target())), rates)
    stops = ", most of them stopped early" if config.search == "halving" else ""
    screening = sum(len(grid) for own in studies for grid in own.learning_rates.values())
    then = _fresh(config, studies)
    screen = console.out()
    screen.print(table)
    screen.print(
        escape(
            f"{screening} runs to choose learning rates (seed {config.seed}{stops}), then {then}; "
            f"{config.steps} steps of {config.batch} examples each, "
            f"on {'; '.join(f'{c.model} and {c.data}' for c in cells)}, into {folder}."
        ),
        highlight=False,
    )
    if left := {name: None for cell in cells for name in sorted(cell.without)}:
        without = "; ".join(c.data for c in cells if c.without)
        screen.print(escape(f"Left out on {without}: {', '.join(left)}."), highlight=False)
    for cell, own, estimate in zip(cells, studies, estimates, strict=False):
        where = f"{cell.model} on {cell.data}: " if len(cells) > 1 else ""
        for line in estimate.lines(own):
            screen.print(escape(where + line), highlight=False)
    if why:
        screen.print(escape(f"No estimate of packs, memory and time: {why}"), highlight=False)
    elif len(cells) > 1:
        screen.print(f"All cells: about {words(sum(e.seconds for e in estimates))} on this machine.", highlight=False)
    if config.budget:
        screen.print(
            f"With --budget it first times a few steps, then leaves out what does not fit into "
            f"{words(config.budget.seconds)} and says so.",
            highlight=False,
        )


def _fresh(config: StudyConfig, studies: list[StudyConfig]) -> str:
    """What comes after the search."""
    each = sum(1 + min(own.finalists, len(own.arms) - 1) for own in studies if own.fresh_seeds)
    if not each:
        return "none on fresh seeds (no verdict; --seeds 3 adds one)"
    if config.until == "seeds":
        seeds = ", ".join(map(str, config.fresh_seeds))
        return f"{each * len(config.fresh_seeds)} on fresh seeds {seeds}, and one look"
    first, limit = Look(FEWEST_SEEDS, config.horizon), len(config.fresh_seeds)
    time = f" or {words(config.limit_seconds)} of training" if config.limit_seconds else ""
    return (
        f"{each} on each of {FEWEST_SEEDS} to {limit} fresh seeds{time}, with a look after each from the "
        f"third on, until all is decided (the first tests at {100 * first.level(ERROR):.2g} %, all together err in "
        f"{100 * ERROR:g} %)"
    )


def _estimates(studies: list[StudyConfig]) -> tuple[list[Forecast], str | None]:
    """Estimate the study of every cell, or say why not."""
    if console.err().is_terminal:
        console.err().print("Timing a few steps on this machine", highlight=False)
    try:
        return [forecast(own, Progress()) for own in studies], None
    except UsageError as error:  # a model that is not on this machine, say: the plan stands all the same
        return [], str(error)
