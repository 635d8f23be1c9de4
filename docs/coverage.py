"""Draws what the simulation of the intervals found: docs/studies/coverage.md, coverage.png and coverage.json.

make simulation-figure      # under a minute on one thread
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from docs.simulation import NOISES, Cell, simulate
from rankwise.files import write_json, write_text
from rankwise.report.figures.base import data
from rankwise.report.figures.theme import ALARM, ARMS, MUTED, SHAPES
from rankwise.report.svg import draw, png

HERE = Path(__file__).parent / "studies"
REPLICATES = 4000
WORDS = {
    "none": "no seed noise",
    "interaction": "seed x example only",
    "small": "small",
    "equal": "as large as the examples'",
    "dominant": "five times the examples'",
}
# Sharing a plot, cells of one number of examples are set a little apart.
PLACES = {48: -0.16, 96: 0.0, 256: 0.16}


def chart(cells: tuple[Cell, ...]) -> Any:
    """Coverage above, false matches below; a column per number of seeds, a color per seed noise."""
    import altair as alt

    columns = []
    for seeds in sorted({cell.seeds for cell in cells}):
        own = [cell for cell in cells if cell.seeds == seeds]
        rows = [_panel(own, "coverage", [0.92, 0.98], (0.93, 0.975 if seeds >= 5 else None), seeds)]
        rows.append(_panel(own, "false_matches", [0.0, 0.055], (None, 0.05), seeds))
        columns.append(alt.vconcat(*rows))
    return alt.hconcat(*columns)


def _panel(
    cells: list[Cell], field: str, domain: list[float], bounds: tuple[float | None, float | None], seeds: int
) -> Any:
    import altair as alt

    names = [WORDS[noise] for noise in NOISES]
    values = [
        {
            "place": list(NOISES).index(cell.noise) + PLACES[cell.examples] + (0.05 if cell.paired else -0.05),
            "value": getattr(cell, field),
            "noise": WORDS[cell.noise],
            "examples": f"{cell.examples} examples",
        }
        for cell in cells
    ]
    what = "coverage of 95 % intervals" if field == "coverage" else 'false "matches"'
    y = alt.Y("value:Q", title=what if seeds == 3 else None, scale=alt.Scale(domain=domain, zero=False, nice=False),
              axis=alt.Axis(format=".1%", tickCount=6))  # fmt: skip
    x = alt.X("place:Q", title=None, scale=alt.Scale(domain=[-0.5, len(NOISES) - 0.5]), axis=None)
    points = alt.Chart(data(values)).mark_point(filled=True, size=55, opacity=0.9).encode(
        x=x, y=y,
        color=alt.Color("noise:N", title="seed noise",
                        scale=alt.Scale(domain=names, range=[shade.light for shade in ARMS[: len(names)]])),
        shape=alt.Shape("examples:N", title="test examples",
                        scale=alt.Scale(domain=[f"{n} examples" for n in PLACES], range=list(SHAPES[: len(PLACES)]))),
    )  # fmt: skip
    rules = [
        alt.Chart(data([{"value": at}])).mark_rule(strokeDash=[5, 4], color=ALARM.light).encode(y=y)
        for at in bounds
        if at is not None
    ]
    nominal = 0.95 if field == "coverage" else 0.025
    rules.append(alt.Chart(data([{"value": nominal}])).mark_rule(color=MUTED.light).encode(y=y))
    title = f"{seeds} fresh seeds" if field == "coverage" else ""
    return alt.layer(*rules, points).properties(width=235, height=190, title=title)


def page(cells: tuple[Cell, ...]) -> str:
    """The page beside the figure; every number in it is computed from ``cells``."""
    many = [cell for cell in cells if cell.seeds >= 5]
    worst = _percent(min(cell.coverage for cell in cells))
    low, high = (_percent(end(cell.coverage for cell in many)) for end in (min, max))
    wrong = _percent(max(cell.false_matches for cell in cells))
    tuned = _percent(max(cell.tuned_false_matches for cell in cells))
    return f"""# Do the intervals cover?

Written by `make simulation-figure` (`docs/coverage.py`, `docs/simulation.py`); the numbers are in
[coverage.json](coverage.json).

![Coverage of the 95 % intervals and share of false matches, by seeds, examples and seed noise](coverage.png)

{len(cells)} cells of {cells[0].replicates:,} simulated comparisons, seed 0: 3, 5 and 8 fresh seeds; 48, 96 and 256
test examples; seed noise from none to five times that of the examples; arm and reference under the same seeds or under
different ones. Every comparison picks its learning rates on one seed first, as a study does, and then hands fresh seeds
to the function behind every verdict. The arm stands exactly at the margin, where a wrong word is likeliest.

| claim | bound | found |
|---|---|---|
| coverage, worst cell | at least 93 % | {worst} |
| coverage, 5 seeds and more | 93 to 97.5 % | {low} to {high} |
| false "matches", worst cell | at most 5 % | {wrong} |

Gray lines: 95 % and 2.5 %, what the intervals promise. Dashed: the bounds that `pytest -m statistics` holds.

What this does not promise: the claim is about the two recipes as picked. Against the best possible learning rates of
both sides, an unlucky pick by the reference flatters the arm: up to {tuned} false matches in the worst cell. And a very
skewed contrast on few examples covers less (see `stats/crossed.py`).
"""


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    found = simulate(replicates=REPLICATES)
    write_json(HERE / "coverage.json", {"seed": 0, "cells": [asdict(cell) for cell in found]})
    (HERE / "coverage.png").write_bytes(png(draw(chart(found))))
    write_text(HERE / "coverage.md", page(found))
