"""The figure of docs/studies/sequential.md: false claims in every cell, beside those of looks that share no error."""

from __future__ import annotations

from typing import Any

from docs.coverage import WORDS
from docs.sequential.cells import Cell
from docs.sequential.walk import SEQUENTIAL_NOISES
from rankwise.report.figures.base import data
from rankwise.report.figures.theme import ALARM, ARMS, MUTED, SHAPES
from rankwise.stats.verdict import ERROR

NOISE_WORDS = WORDS | {"equal": "as large as the examples' at 3 seeds", "ten": "ten times the examples'"}
EFFECT_WORDS = {"heavy": "heavy tails", "right": "skewed to the right", "left": "skewed to the left"}
EXAMPLES = (48, 96, 256, 1000)
PLACES = {48: -0.27, 96: -0.09, 256: 0.09, 1000: 0.27}


def chart(cells: tuple[Cell, ...], limit: float) -> Any:
    """False "matches" above, "falls short" below; a column per law of the arm's effects."""
    import altair as alt

    columns = []
    for effects in EFFECT_WORDS:
        own = [cell for cell in cells if cell.effects == effects]
        columns.append(alt.vconcat(*(_panel(own, field, effects, limit) for field in ("match", "short"))))
    return alt.hconcat(*columns)


def _panel(cells: list[Cell], field: str, effects: str, limit: float) -> Any:
    import altair as alt

    def place(cell: Cell) -> float:
        return list(SEQUENTIAL_NOISES).index(cell.noise) + PLACES[cell.examples] + (0.04 if cell.paired else -0.04)

    def values(name: str) -> Any:
        return data(
            [
                {
                    "place": place(cell),
                    "value": getattr(cell, name),
                    "noise": NOISE_WORDS[cell.noise],
                    "examples": f"{cell.examples:,} examples",
                }
                for cell in cells
            ]
        )

    names = [NOISE_WORDS[noise] for noise in SEQUENTIAL_NOISES]
    title = 'false "matches"' if field == "match" else 'false "falls short"'
    x = alt.X("place:Q", title=None, scale=alt.Scale(domain=[-0.6, len(names) - 0.4]), axis=None)
    y = alt.Y("value:Q", title=title if effects == "heavy" else None, scale=alt.Scale(domain=[0, 0.1], nice=False),
              axis=alt.Axis(format=".0%", tickCount=6))  # fmt: skip
    shape = alt.Shape(
        "examples:N",
        title="test examples",
        scale=alt.Scale(domain=[f"{n:,} examples" for n in EXAMPLES], range=list(SHAPES[: len(EXAMPLES)])),
    )
    looked_as_if_once = (
        alt.Chart(values(f"{field}_relooked"))
        .mark_point(filled=False, size=35, opacity=0.6, color=MUTED.light)
        .encode(x=x, y=y, shape=shape)
    )
    points = alt.Chart(values(field)).mark_point(filled=True, size=45, opacity=0.9).encode(
        x=x, y=y, shape=shape,
        color=alt.Color("noise:N", title="seed noise",
                        scale=alt.Scale(domain=names, range=[shade.light for shade in ARMS[: len(names)]])),
    )  # fmt: skip
    nominal = alt.Chart(data([{"value": ERROR}])).mark_rule(color=MUTED.light).encode(y=y)
    bound = alt.Chart(data([{"value": limit}])).mark_rule(strokeDash=[5, 4], color=ALARM.light).encode(y=y)
    heading = EFFECT_WORDS[effects] if field == "match" else ""
    return alt.layer(nominal, bound, looked_as_if_once, points).properties(width=235, height=190, title=heading)
