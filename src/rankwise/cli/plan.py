"""``--dry-run``: the runs a study would make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from rankwise.cli import console
from rankwise.cli.options import say_json
from rankwise.errors import UsageError
from rankwise.studies.budget import words
from rankwise.studies.cells import Cell
from rankwise.studies.config import StudyConfig
from rankwise.studies.forecast import Forecast, forecast
from rankwise.studies.progress import Progress


def show_plan(config: StudyConfig, folder: Path, *, as_json: bool, cells: list[Cell]) -> None:
    """Print the resolved study: as JSON the whole configuration, else a table."""
    estimate, why = _estimate(config, cells)
    if as_json:
        plan: dict[str, Any] = {
            "config": config.to_dict(),
            "out": str(folder),
            "cells": [[c.model, c.data] for c in cells],
        }
        plan |= {"forecast": estimate.to_dict() if estimate else None, "no_forecast": why}
        say_json(plan)
        return
    table = Table("arm", "update", "learning rates", title=f"{config.preset} at scale {config.scale}")
    for arm in config.arms:
        rates = ", ".join(f"{lr:g}" for lr in config.learning_rates[arm.name])
        table.add_row(escape(arm.label), escape(repr(arm.target())), rates)
    stops = ", most of them stopped early" if config.search == "halving" else ""
    screening = sum(len(grid) for grid in config.learning_rates.values())
    fresh = (1 + min(config.finalists, len(config.arms) - 1)) * len(config.fresh_seeds)
    seeds = ", ".join(map(str, config.fresh_seeds))
    then = f"{fresh} on fresh seeds {seeds}" if fresh else "none on fresh seeds (no verdict; --seeds 3 adds one)"
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
    for line in estimate.lines(config) if estimate else [f"No estimate of packs, memory and time: {why}"]:
        screen.print(escape(line), highlight=False)
    if config.budget:
        screen.print(
            f"With --budget it first times a few steps, then leaves out what does not fit into "
            f"{words(config.budget.seconds)} and says so.",
            highlight=False,
        )


def _estimate(config: StudyConfig, cells: list[Cell]) -> tuple[Forecast | None, str | None]:
    """Estimate a study of one cell, or say why not."""
    if len(cells) > 1:
        return None, "there are several cells; ask for one of them"
    if console.err().is_terminal:
        console.err().print("Timing a few steps on this machine", highlight=False)
    try:
        return forecast(config, Progress()), None
    except UsageError as error:  # a model that is not on this machine, say: the plan stands all the same
        return None, str(error)
