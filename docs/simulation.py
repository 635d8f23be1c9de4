"""Do the intervals cover? A simulation of whole comparisons, learning-rate selection included.

Each replicate draws test examples (token counts lognormal around 40; difficulty and the arm's effect heavy-tailed,
Student t with 5 degrees of freedom, the effect also drifting with length), picks a learning rate for arm and reference
on one seed among 3 to 5 candidates a factor 2 apart around each one's optimum, trains fresh seeds at the picked rate,
and hands the losses to `rankwise.stats.contrast.combine`, the function behind every verdict. The unit is one gain:
NLL(base) - NLL(reference) = 1.

Two truths are checked. ``coverage`` and ``false_matches`` are about the two recipes as picked (fresh seeds make this an
honest question: nothing is re-used). The ``tuned_`` columns are about both sides at their true best learning
rates, which no interval on the picked recipes promises: an unlucky pick by the reference flatters the arm.
They are reported so that nobody mistakes one claim for the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from rankwise.stats.contrast import combine, margin_weights
from rankwise.stats.scores import FloatArray

MARGIN = 0.05
BASE_LEVEL = 2.0  # the untouched model's loss per token, in gains; the reference's at its best rate is 1
_EFFECT = 0.15  # sd over examples of the arm's per-token loss against the reference's, in gains
_BASE_EFFECT = 0.5  # the same for the untrained model
_LENGTH_SD = 0.5  # of log tokens
_CURVATURE = 0.02  # gains lost one octave away from the best learning rate
_SELECTION = 48  # examples in the selection split


class Noise(NamedTuple):
    """Seed noise. ``main``: sd over runs of the contrast, in standard errors that the examples alone would cause;
    "even" makes seeds and examples weigh the same. ``cross``: sd of the seed-by-example part, in example sds.
    """

    main: float | str
    cross: float


NOISES = {
    "none": Noise(0.0, 0.0),
    "interaction": Noise(0.0, 1.0),
    "small": Noise(0.5, 0.3),
    "equal": Noise("even", 0.5),
    "dominant": Noise(5.0, 0.5),
}


@dataclass(frozen=True)
class Cell:
    """One row of the table: rates are shares of replicates in [0, 1]."""

    seeds: int
    examples: int
    noise: str
    paired: bool
    replicates: int
    coverage: float
    false_matches: float
    tuned_coverage: float
    tuned_false_matches: float


def simulate(
    seeds: Sequence[int] = (3, 5, 8),
    examples: Sequence[int] = (48, 96, 256),
    noises: Sequence[str] = tuple(NOISES),
    pairings: Sequence[bool] = (True, False),
    *,
    replicates: int = 4000,
    seed: int = 0,
) -> tuple[Cell, ...]:
    """Run every combination with its own random stream; the same ``seed`` gives the same table on any subset."""
    return tuple(
        _cell(s, n, noise, paired, replicates, np.random.default_rng([seed, s, n, list(NOISES).index(noise), paired]))
        for s, n, noise, paired in product(seeds, examples, noises, pairings)
    )


def _cell(s: int, n: int, name: str, paired: bool, replicates: int, rng: np.random.Generator) -> Cell:
    hits = np.zeros(4)
    done = 0
    chunk = max(1, 400_000 // (s * n))  # keeps the arrays small enough for a laptop's cache
    while done < replicates:
        r = min(chunk, replicates - done)
        hits += _hits(r, s, n, NOISES[name], paired, rng)
        done += r
    return Cell(s, n, name, paired, replicates, *(float(h) for h in hits / replicates))


def _hits(r: int, s: int, n: int, noise: Noise, paired: bool, rng: np.random.Generator) -> FloatArray:
    """Counts over r replicates of: covered, false matches, tuned covered, tuned false matches."""
    drawn = draw(r, s, n, noise, paired, rng)
    (arm,) = drawn.arms
    weights = margin_weights(MARGIN)
    estimate = combine(arm.runs, drawn.reference.runs, drawn.base, drawn.tokens, weights=weights, paired=paired)
    low, high = estimate.interval()
    # Were both sides at the boundary when tuned perfectly, picking would shift D by this much.
    shift = arm.off - (1 - MARGIN) * drawn.reference.off
    return np.array(
        [
            np.sum((low <= 0) & (high >= 0)),
            np.sum(high < 0),
            np.sum((low + shift <= 0) & (high + shift >= 0)),
            np.sum(high + shift < 0),
        ],
        dtype=np.float64,
    )


class Side(NamedTuple):
    """An arm, or the reference. ``runs``: (r, S, N) losses summed over tokens; ``level``: (r,) the true loss per token;
    ``off``: (r,) how much of that its learning rate costs."""

    runs: FloatArray
    level: FloatArray
    off: FloatArray


class Drawn(NamedTuple):
    """r replicates of a comparison: arms at the boundary, the untouched model's losses (r, N), tokens (r, N)."""

    arms: tuple[Side, ...]
    reference: Side
    base: FloatArray
    tokens: FloatArray


def draw(
    r: int,
    s: int,
    n: int,
    noise: Noise,
    paired: bool,
    rng: np.random.Generator,
    *,
    arms: int = 1,
    effects: Callable[[np.random.Generator, tuple[int, ...]], FloatArray] | None = None,
) -> Drawn:
    """Draw r replicates of S seeds and N examples. ``effects``: the law of an arm's effect on an example, of unit
    variance; heavy-tailed by default."""
    effect = np.hypot(_EFFECT, MARGIN * _BASE_EFFECT)
    example_se = effect * np.exp(_LENGTH_SD**2 / 2) / np.sqrt(n)
    main = np.sqrt(s) if isinstance(noise.main, str) else noise.main
    run_sd = main * example_se / np.sqrt(2)  # of one side's run; the contrast has two sides
    cross_sd = noise.cross * _EFFECT / np.sqrt(2)

    length = rng.standard_normal((r, n))
    tokens = 40 * np.exp(_LENGTH_SD * length)
    shared = heavy(rng, (r, n)) * 0.4  # difficulty, common to all models
    # Longer examples favor the arm; the term has mean zero under token weighting, so the truth stays known.
    drift = np.sqrt(0.1) * (length - _LENGTH_SD)
    arm_effects = [_EFFECT * (np.sqrt(0.9) * (effects or heavy)(rng, (r, n)) - drift) for _ in range(arms)]
    base_effect = _BASE_EFFECT * heavy(rng, (r, n))

    *arm_offs, reference_off = (_picked(rng, r, run_sd, cross_sd) for _ in range(arms + 1))
    # At the boundary for the recipes as picked: D = arm - (1 - m) reference - m base = 0.
    reference_level = 1.0 + reference_off
    arm_level = (1 - MARGIN) * reference_level + MARGIN * BASE_LEVEL
    # The order of the data is one more effect that the runs of a paired seed share; it cancels up to the margin.
    order = run_sd * rng.standard_normal((r, s, 1)) if paired else 0.0

    def side(level: FloatArray, by_example: FloatArray, off: FloatArray) -> Side:
        own = run_sd * rng.standard_normal((r, s, 1)) + cross_sd * heavy(rng, (r, s, n))
        runs = (level[:, None, None] + by_example[:, None, :] + order + own) * tokens[:, None, :]
        return Side(runs, level, off)

    return Drawn(
        tuple(side(arm_level, shared + own, off) for own, off in zip(arm_effects, arm_offs, strict=True)),
        side(reference_level, shared, reference_off),
        (BASE_LEVEL + shared + base_effect) * tokens,
        tokens,
    )


def _picked(rng: np.random.Generator, r: int, run_sd: float, cross_sd: float) -> FloatArray:
    """Loss above the optimum, (r,), at the learning rate picked on one seed among 3 to 5 candidates."""
    candidates = rng.integers(3, 6, size=(r, 1))
    place = np.arange(5)
    octaves = place - (candidates - 1) / 2 + rng.uniform(-0.5, 0.5, (r, 1))
    excess = _CURVATURE * octaves**2
    seen = excess + np.hypot(run_sd, cross_sd / np.sqrt(_SELECTION)) * rng.standard_normal((r, 5))
    best = np.argmin(np.where(place < candidates, seen, np.inf), axis=1)
    return np.asarray(excess[np.arange(r), best])


def heavy(rng: np.random.Generator, size: tuple[int, ...]) -> FloatArray:
    """Student t with 5 degrees of freedom, scaled to unit variance."""
    return np.asarray(rng.standard_t(5, size) * np.sqrt(3 / 5))
