"""What is simulated, and the command's memory of what is done: a killed run goes on at the next cell.

make sequential-figure      # about half an hour on one thread
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from docs.sequential.cells import Cell, cell
from docs.sequential.families import Family, family
from docs.sequential.power import Power, power
from docs.sequential.walk import SEQUENTIAL_NOISES, Setting
from rankwise.files import write_json

REPLICATES = 10_000  # of a cell and a family
POWER_REPLICATES = 2_000
ALL = tuple(SEQUENTIAL_NOISES)
FURTHER = 24  # seeds, for whoever goes on beyond the plan


def _grid(
    noises: Sequence[str],
    examples: Sequence[int],
    effects: Sequence[str] = ("heavy",),
    pairings: Sequence[bool] = (True, False),
    **more: int,
) -> list[Setting]:
    return [Setting(z, n, p, e, **more) for e in effects for n in examples for p in pairings for z in noises]


CELLS = (
    *_grid(ALL, (48, 96, 256)),
    *_grid(ALL, (48, 96), ("right", "left")),
    *_grid(ALL, (96,), seeds=FURTHER),
    *_grid(("none", "small", "dominant"), (256,), ("right", "left")),
    *_grid(("none", "small", "dominant"), (48,), ("right", "left"), (True,), seeds=FURTHER),
    *_grid(("none", "equal", "ten"), (1000,)),
    *_grid(("none", "dominant"), (1000,), ("right", "left"), (True,)),
)
POWERS = _grid(("small", "equal", "dominant"), (96, 256), pairings=(True,))
FAMILIES = _grid(("none", "small", "equal", "dominant"), (96,))


class Found(NamedTuple):
    """All that was simulated."""

    cells: tuple[Cell, ...]
    powers: tuple[Power, ...]
    families: tuple[Family, ...]

    def as_json(self) -> dict[str, Any]:
        """For the committed file."""
        return {"seed": 0, **{name: [asdict(row) for row in rows] for name, rows in self._asdict().items()}}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Found:
        """Read it back."""
        return cls(
            _rows(Cell, document["cells"]), _rows(Power, document["powers"]), _rows(Family, document["families"])
        )


Row = TypeVar("Row", Cell, Power, Family)


def _rows(kind: type[Row], rows: list[dict[str, Any]]) -> tuple[Row, ...]:
    return tuple(
        kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}) for row in rows
    )


def simulate_all(memory: Path, *, told: Callable[[str], None] = print) -> Found:
    """Simulate the whole grid. ``memory``: a file with what is done; delete it when the rule or the grid changes."""
    done: dict[str, Any] = json.loads(memory.read_text(encoding="utf-8")) if memory.exists() else {}

    def every(kind: str, settings: Sequence[Setting], run: Callable[[Setting], Sequence[Any]]) -> list[dict[str, Any]]:
        rows = []
        for setting in settings:
            name = " ".join(map(str, (kind, *setting)))
            if name not in done:
                done[name] = [asdict(row) for row in run(setting)]
                write_json(memory, done)
                told(name)
            rows += done[name]
        return rows

    return Found.from_json(
        {
            "families": every("family", FAMILIES, lambda setting: [family(setting, REPLICATES)]),
            "powers": every("power", POWERS, lambda setting: power(setting, POWER_REPLICATES)),
            "cells": every("cell", CELLS, lambda setting: [cell(setting, REPLICATES)]),
        }
    )
