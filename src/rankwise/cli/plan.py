"""``--dry-run``: the runs a study would make."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from rankwise.cli import console
from rankwise.studies.budget import words
from rankwise.studies.cells import Cell
from rankwise.studies.config import StudyConfig


def show_plan(config: StudyConfig, folder: Path, *, as_json: bool, cells: list[Cell]) -> None:
    """Print the resolved study: as JSON the whole configuration, else a table."""
    if as_json:
        plan = {"config": config.to_dict(), "out": str(folder), "cells": [[c.model, c.data] for c in cells]}
        typer.echo(json.dumps(plan, ensure_ascii=False, sort_keys=True))
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
    if config.budget:
        screen.print(
            f"With --budget it first times a few steps, then leaves out what does not fit into "
            f"{words(config.budget.seconds)} and says so.",
            highlight=False,
        )
