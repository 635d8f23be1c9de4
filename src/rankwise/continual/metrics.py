"""What a stream's score matrix says: AP, learned, BWT, forgetting, FWT, with crossed intervals.

R[i, j] is the score on task j after task i was learned, row 0 the untouched base; T tasks, pos(j) where j was learned:

    AP         = mean over j of  R[T, j]
    learned    = mean over j of  R[pos(j), j]
    BWT        = mean over j learned before the last of  R[T, j] - R[pos(j), j]
    forgetting = mean over the same of  max over l < T of R[l, j], minus R[T, j]
    FWT        = mean over j learned after the first of  R[pos(j) - 1, j] - R[0, j]

Scores are higher is better: exact match, and minus the NLL per token. All five are means over examples once the row of
the maximum is chosen, so :mod:`rankwise.stats.crossed` gives their intervals: runs (orders and seeds) are crossed with
test examples. The tasks are fixed: differences between them are taken out before the spread of examples is estimated.
Exact match is a share of questions, whose intervals are those of :mod:`rankwise.continual.proportions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from rankwise.continual.proportions import change_interval, share_interval
from rankwise.continual.scoring import TaskScore
from rankwise.stats.crossed import crossed
from rankwise.stats.scores import FloatArray
from rankwise.studies.results.schema import AllMeasures, ByMetric, Measure, Measures, Metric

MEASURES = ("AP", "learned", "BWT", "forgetting", "FWT")
SHARES = ("AP", "learned")  # of exact match; the others are changes
METRICS: tuple[Metric, ...] = ("exact_match", "nll")
Row = Mapping[str, TaskScore]


@dataclass(frozen=True)
class Matrix:
    """One chain's scores.

    Attributes:
        order: task ids as learned.
        rows: T + 1 rows by task id; row 0 is the base.
    """

    order: tuple[str, ...]
    rows: tuple[Row, ...]

    def means(self, metric: str, tokens: Mapping[str, Sequence[int]]) -> list[list[float]]:
        """Return R as plain means, columns in the order learned: accuracy, or NLL per token (lower is better)."""
        sign = -1.0 if metric == "nll" else 1.0
        return [[sign * float(_scores(row[j], metric, tokens[j]).mean()) for j in self.order] for row in self.rows]


def measures(matrices: Sequence[Matrix], tokens: Mapping[str, Sequence[int]], level: float = 0.95) -> AllMeasures:
    """Return every measure by metric: estimate, low, high, for_these_seeds; None where it needs a second task."""
    found: dict[str, ByMetric] = {}
    for name in MEASURES:
        rows = {metric: [values(m, metric, name, tokens) for m in matrices] for metric in METRICS}
        if name in SHARES:
            sizes = [len(one) for one in tokens.values()]
            share = share_interval(interval(rows["exact_match"], level), sizes, level)
            found[name] = {"exact_match": share, "nll": interval(rows["nll"], level)}
        else:
            found[name] = change(rows, tokens, level, tasks=len(tokens) - 1)
    exact, nll = (cast("Measures", {name: own[metric] for name, own in found.items()}) for metric in METRICS)
    return {"exact_match": exact, "nll": nll}


def change(
    rows: Mapping[Metric, Sequence[FloatArray | None]],
    tokens: Mapping[str, Sequence[int]],
    level: float,
    tasks: int | None = None,
) -> ByMetric:
    """Return the interval of a change by metric.

    Args:
        rows: by metric, of :func:`values`, one side minus the other.
        tasks: how many of them count; None: all.
    """
    same = not any(row.any() for row in rows["nll"] if row is not None)
    sizes = sorted(len(one) for one in tokens.values())[:tasks]
    share = change_interval(interval(rows["exact_match"], level), sizes, level, same=same)
    return {"exact_match": share, "nll": interval(rows["nll"], level)}


def difference(
    one: Sequence[Matrix], other: Sequence[Matrix], tokens: Mapping[str, Sequence[int]], level: float = 0.95
) -> ByMetric:
    """Return by metric the AP of ``one`` minus that of ``other``, paired by order and seed and by example."""
    rows: dict[Metric, list[FloatArray | None]] = {}
    for metric in METRICS:
        mine, theirs = ([values(m, metric, "AP", tokens) for m in some] for some in (one, other))
        rows[metric] = [None if a is None or b is None else a - b for a, b in zip(mine, theirs, strict=True)]
    return change(rows, tokens, level)


def beside_reference(
    chains: Sequence[tuple[int, Matrix]],
    reference: Mapping[int, Matrix],
    tokens: Mapping[str, Sequence[int]],
    level: float = 0.95,
) -> ByMetric | None:
    """Return by metric the AP of chains minus that of a reference that knows no order, paired by seed and by example.

    The chains of one seed share their reference, so they are averaged first: the runs of the interval are seeds.

    Args:
        chains: with their seeds.
        reference: by seed.
    """
    rows: dict[Metric, list[FloatArray | None]] = {metric: [] for metric in METRICS}
    for metric in METRICS:
        for seed, matrix in reference.items():
            own = [values(m, metric, "AP", tokens) for s, m in chains if s == seed]
            theirs = values(matrix, metric, "AP", tokens)
            present = [row for row in own if row is not None]
            if present and theirs is not None:
                rows[metric].append(np.mean(present, axis=0) - theirs)
    found = change(rows, tokens, level)
    return found if any(found.values()) else None


def values(matrix: Matrix, metric: str, name: str, tokens: Mapping[str, Sequence[int]]) -> FloatArray | None:
    """Return one number per test example of all tasks whose mean is the measure; None where no task counts."""
    last = len(matrix.rows) - 1
    place = {j: i + 1 for i, j in enumerate(matrix.order)}

    def score(i: int, j: str) -> FloatArray:
        return _scores(matrix.rows[i][j], metric, tokens[j])

    def best(j: str) -> FloatArray:
        return max((score(i, j) for i in range(last)), key=lambda found: float(found.mean()))

    rules: dict[str, tuple[Callable[[str], FloatArray], Callable[[str], bool]]] = {
        "AP": (lambda j: score(last, j), lambda j: True),
        "learned": (lambda j: score(place[j], j), lambda j: True),
        "BWT": (lambda j: score(last, j) - score(place[j], j), lambda j: place[j] < last),
        "forgetting": (lambda j: best(j) - score(last, j), lambda j: place[j] < last),
        "FWT": (lambda j: score(place[j] - 1, j) - score(0, j), lambda j: place[j] > 1),
    }
    rule, counts = rules[name]
    tasks = sorted(matrix.order)  # one order of examples for all chains
    taken = [j for j in tasks if counts(j)]
    if not taken:
        return None
    whole = sum(len(tokens[j]) for j in tasks)
    parts = []
    for j in tasks:
        size = len(tokens[j])
        parts.append(rule(j) * whole / (len(taken) * size) if j in taken else np.zeros(size))
    # Which tasks count differs between orders; inside a chain they are fixed, so only the spread within tasks is noise.
    mean = float(np.concatenate(parts).mean())
    return np.concatenate([part - part.mean() + mean for part in parts])


def interval(rows: Sequence[FloatArray | None], level: float) -> Measure | None:
    """Return the mean of all rows with its crossed interval."""
    present = [row for row in rows if row is not None]
    if len(present) != len(rows) or not rows:
        return None
    group = np.stack(present)
    found = crossed([group], np.ones(group.shape[1]))
    low, high = found.interval(level)
    return {
        "estimate": float(found.estimate),
        "low": float(low),
        "high": float(high),
        "for_these_seeds": found.for_these_seeds,
    }


def _scores(scored: TaskScore, metric: str, tokens: Sequence[int]) -> FloatArray:
    """Scores per example, higher is better, whose mean is the task's score."""
    if metric == "exact_match":
        return np.asarray(scored.right, dtype=np.float64)
    counts = np.asarray(tokens, dtype=np.float64)
    return -np.asarray(scored.nll, dtype=np.float64) / counts.mean()
