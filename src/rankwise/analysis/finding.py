"""What an analysis leaves behind: numbers, pictures described as data, and a word decided by a stated rule."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Word = Literal["holds here", "does not hold here", "undecided"]
Row = dict[str, Any]


@dataclass(frozen=True)
class Axis:
    """A field of a panel's rows and how to draw it."""

    field: str
    title: str
    log: bool = False


@dataclass(frozen=True)
class Panel:
    """One picture as data; the report room draws it in the house style.

    Attributes:
        kind: ``lines`` and ``points`` (series by color), ``bars`` (x by name), ``heat`` (x and y by name, ``value``).
        series: field whose values tell lines apart; None for one.
        value: field of a heat map's cells, in [0, 1].
        rule: a horizontal reference line at this y, with a label.
        path: for ``points``, places that a thin line joins in this order, such as a Pareto front.

    Rows without a finite place (a run that diverged) are not drawn; the tables name them.
    """

    title: str
    kind: Literal["lines", "points", "bars", "heat"]
    rows: tuple[Row, ...]
    x: Axis
    y: Axis
    series: str | None = None
    value: str | None = None
    rule: tuple[float, str] | None = None
    path: tuple[Row, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(row for row in self.rows if self._has_place(row)))

    @classmethod
    def from_dict(cls, plain: Row) -> Panel:
        """Return the panel that :meth:`Finding.to_dict` wrote."""
        axes = {name: Axis(**plain[name]) for name in ("x", "y")}
        rows = {name: tuple(plain[name]) for name in ("rows", "path")}
        rule = None if plain["rule"] is None else (plain["rule"][0], plain["rule"][1])
        return cls(**{**plain, **axes, **rows, "rule": rule})

    def _has_place(self, row: Row) -> bool:
        found = (row[axis.field] for axis in (self.x, self.y))
        return all(not isinstance(value, float) or math.isfinite(value) for value in found)


@dataclass(frozen=True)
class Table:
    """A small table; every row has one value per column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Finding:
    """A claim, held against measurements.

    Attributes:
        analysis: name of the analysis.
        claim: the published statement, in one sentence, with its source.
        setup: what was measured, by name, as plain JSON.
        rule: how the word is decided, in one sentence.
        why: the numbers that decided it, in one sentence.
        interpretation: one paragraph: what the figure shows and what it means for a choice.
        caveats: what a reader could be misled by.
    """

    analysis: str
    claim: str
    setup: Row
    word: Word
    rule: str
    why: str
    interpretation: str
    panels: tuple[Panel, ...]
    tables: tuple[Table, ...] = ()
    caveats: tuple[str, ...] = ()
    numbers: Row = field(default_factory=dict)

    def to_dict(self) -> Row:
        """Return plain JSON values; what is not finite becomes None."""
        plain = _plain(asdict(self))
        assert isinstance(plain, dict)
        return plain


def decide(holds: bool, fails: bool) -> Word:
    """Return the word of two exclusive conditions; neither is undecided."""
    if holds and fails:
        raise ValueError("a claim cannot hold and fail at once: the two conditions of a rule must exclude each other")
    return "holds here" if holds else "does not hold here" if fails else "undecided"


def decide_share(share: float) -> Word:
    """Return the word of a claim about most cases: at least 2/3 holds, at most 1/3 does not."""
    return decide(share >= 2 / 3, share <= 1 / 3)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
