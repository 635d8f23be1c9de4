"""Whole studies drawn from a pool: fresh seeds for each side and a fresh subset of examples, thousands of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration.pool import Pool
from benchmarks.calibration.recipe import FULL

AGAIN = "full-again"  # full fine-tuning under other seeds than the reference's
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """K studies: which runs are the reference (K, S), which are the arm, and which examples are scored (K, N)."""

    condition: str
    paired: bool
    reference: Rows
    arm: Rows
    examples: Rows

    def chunks(self, size: int) -> Iterator[Draw]:
        """Cut into draws of at most ``size`` studies."""
        for first in range(0, len(self.arm), size):
            part = slice(first, first + size)
            yield Draw(self.condition, self.paired, self.reference[part], self.arm[part], self.examples[part])


def draw(
    pool: Pool, arms: tuple[str, ...], rng: np.random.Generator, *, studies: int, seeds: int, examples: int, same: bool
) -> dict[str, Draw]:
    """Draw ``studies`` studies with all ``arms`` against one reference, full fine-tuning, on the same examples.

    ``same``: arms have the seeds of the reference, as in a study, and are paired by them; else every arm has seeds of
    its own. Full fine-tuning again always has others: the same would be the same runs.
    """
    runs = len(pool.runs[FULL])
    places = np.array([rng.permutation(runs)[: 2 * seeds] for _ in range(studies)])
    reference, others = places[:, :seeds], places[:, seeds:]
    subset = np.array([rng.permutation(pool.tokens.size)[:examples] for _ in range(studies)])
    found = {}
    for arm in arms:
        paired = same and arm != AGAIN
        condition = FULL if arm == AGAIN else arm
        found[arm] = Draw(condition, paired, reference, reference if paired else others, subset)
    return found


def resampled(pool: Pool, rng: np.random.Generator) -> Pool:
    """A pool of as many runs and examples, drawn from this one with replacement: what another pool might have been.

    Run k of every condition stays one seed, so that pairs remain pairs.
    """
    runs = rng.integers(0, len(pool.runs[FULL]), len(pool.runs[FULL]))
    examples = rng.integers(0, pool.tokens.size, pool.tokens.size)
    rows = {name: own[np.ix_(runs, examples)] for name, own in pool.runs.items()}
    return Pool(rows, pool.base[examples], pool.tokens[examples])
