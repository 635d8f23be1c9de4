"""What every look of a drawn study sees: estimates of the verdict's contrasts, their truths taken off.

Adding a constant per token to an arm moves an estimate and neither its standard error nor its degrees of freedom, so
one table serves an arm at every true regret. ``truth`` is what the pool says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.calibration.draws import Draw
from benchmarks.calibration.pool import Pool
from benchmarks.calibration.recipe import ABOVE, FLOOR, FULL, MARGIN
from rankwise.stats.contrast import Weights, combine, margin_weights
from rankwise.stats.crossed import SEED_BOUND, SEQUENTIAL_BOUND, Estimate

KEEPS, CLOSE, REGRET = "keeps", "close", "regret"
ONE, BOTH = (KEEPS,), (KEEPS, CLOSE)  # what makes up a margin: the gain alone, or the loss too
CONTRASTS: dict[str, tuple[Weights, float]] = {
    KEEPS: (margin_weights(MARGIN), 0.0),
    CLOSE: ((1.0, -(1.0 + ABOVE), 0.0), -FLOOR),
    REGRET: ((1.0, -1.0, 0.0), 0.0),
}
_CHUNK = 150_000  # numbers in an array, so that it stays in a core's cache


@dataclass(frozen=True)
class Table:
    """Estimates of K studies, truths taken off: ``at[seeds][contrast]`` of a sequential look, ``once`` of a single one.

    ``truth``: of each contrast, nats per token.
    """

    at: dict[int, dict[str, Estimate]]
    once: dict[int, dict[str, Estimate]]
    truth: dict[str, float]
    studies: int


def truths(pool: Pool, condition: str) -> dict[str, float]:
    """Return every contrast of an arm over the whole pool."""
    arm, reference, base = pool.mean(condition), pool.mean(FULL), pool.base_mean
    return {name: w[0] * arm + w[1] * reference + w[2] * base + by for name, (w, by) in CONTRASTS.items()}


def margins(pool: Pool) -> dict[str, float]:
    """Return how far an arm may lie above full fine-tuning under each contrast, nats per token."""
    still = truths(pool, FULL)
    return {name: -still[name] for name in (KEEPS, CLOSE)}


def table(
    pool: Pool, draw: Draw, looks: Iterable[int], once: Iterable[int], names: Sequence[str] = tuple(CONTRASTS)
) -> Table:
    """Estimate contrasts after each number of seeds in ``looks`` (guarded) and in ``once`` (as a planned look)."""
    truth = truths(pool, draw.condition)
    looks, once = tuple(looks), tuple(once)
    size = max(1, _CHUNK // (draw.arm.shape[1] * draw.examples.shape[1]))
    parts = [_estimates(pool, part, looks, once, names, truth) for part in draw.chunks(size)]

    def joined(index: int, seeds: int, name: str) -> Estimate:
        return _joined([part[index][seeds][name] for part in parts])

    return Table(
        {n: {name: joined(0, n, name) for name in names} for n in looks},
        {n: {name: joined(1, n, name) for name in names} for n in once},
        truth,
        len(draw.arm),
    )


def _estimates(
    pool: Pool, draw: Draw, looks: Sequence[int], once: Sequence[int], names: Sequence[str], truth: dict[str, float]
) -> tuple[dict[int, dict[str, Estimate]], dict[int, dict[str, Estimate]]]:
    columns = draw.examples[:, None, :]
    arm = pool.runs[draw.condition][draw.arm[:, :, None], columns]
    reference = pool.runs[FULL][draw.reference[:, :, None], columns]
    base, tokens = pool.base[draw.examples], pool.tokens[draw.examples]

    def seen(seeds: int, bound: float) -> dict[str, Estimate]:
        return {
            name: combine(
                arm[:, :seeds], reference[:, :seeds], base, tokens,
                weights=weights, paired=draw.paired, offset=by - truth[name], seed_bound=bound,
            )
            for name, (weights, by) in ((name, CONTRASTS[name]) for name in names)
        }  # fmt: skip

    return {n: seen(n, SEQUENTIAL_BOUND) for n in looks}, {n: seen(n, SEED_BOUND) for n in once}


def _joined(parts: Sequence[Estimate]) -> Estimate:
    last = {"estimate", "se", "df", "seed_var", "cross_var", "example_var", "skew"}
    names = [name for name in parts[0].__dataclass_fields__ if name in last]
    return replace(parts[0], **{n: np.concatenate([getattr(p, n) for p in parts], axis=-1) for n in names})
