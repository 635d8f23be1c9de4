"""Regret, gain, recovery and the verdict's contrast, from the scores of arm, reference and base.

``regret = NLL(arm) - NLL(reference)``; ``gain = NLL(base) - NLL(reference)``; ``recovery = 1 - regret / gain``;
``D = NLL(arm) - (1 - m) NLL(reference) - m NLL(base)`` at margin m. D below 0 says that the arm keeps more than
1 - m of the gain, without dividing by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from rankwise.errors import UsageError
from rankwise.stats.crossed import SEED_BOUND, Estimate, crossed
from rankwise.stats.scores import FloatArray, Scores

Weights = tuple[float, float, float]  # of arm, reference and base


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided interval."""

    estimate: float
    low: float
    high: float


def combine(
    arm: FloatArray,
    reference: FloatArray,
    base: FloatArray,
    tokens: FloatArray,
    *,
    weights: Weights,
    paired: bool,
    offset: float = 0.0,
    seed_bound: float = SEED_BOUND,
) -> Estimate:
    """Estimate ``w0 arm + w1 reference + w2 base + offset`` per token; the vectorized core of this file.

    ``arm``: (..., S, N); ``reference``: (..., S', N), with S' = S and rows in the same order when ``paired``;
    ``base``, ``tokens``: (..., N). Seeds are held fixed when any run group in the contrast has fewer than three.
    """
    on_arm, on_reference, on_base = weights
    if paired and on_arm and on_reference:
        groups = [on_arm * arm + on_reference * reference]
    else:
        groups = [w * x for w, x in ((on_arm, arm), (on_reference, reference)) if w]
    return crossed(groups, tokens, constant=on_base * base + offset * tokens, seed_bound=seed_bound)


def margin_weights(margin: float) -> Weights:
    """Weights of arm, reference and base in D at ``margin`` m: ``(1, -(1 - m), -m)``."""
    return 1.0, margin - 1.0, -margin


def contrast(
    arm: Scores,
    reference: Scores,
    base: Scores,
    weights: Weights,
    *,
    offset: float = 0.0,
    seed_bound: float = SEED_BOUND,
) -> Estimate:
    """Estimate a linear contrast of three scores, paired by example always and by seed when the seed sets agree.

    ``offset`` is added to it, in nats per token; ``seed_bound`` is that of :func:`~.crossed.crossed`. Different or only
    overlapping seed sets count as unpaired, which is conservative when a shared seed moves both the same way. Raises
    UsageError when the three were not scored on the same examples or the base has seeds.
    """
    for name, other in (("reference", reference), ("base", base)):
        if not np.array_equal(arm.tokens, other.tokens):
            raise UsageError(
                f"contrast: arm and {name} must be scored on the same test examples in the same order; "
                f"found {arm.examples} and {other.examples} examples, or different token counts."
            )
    if len(base.nll) != 1:
        raise UsageError(f"contrast: the base has one score per example, found {len(base.nll)} rows.")
    paired = bool(arm.seeds) and set(arm.seeds) == set(reference.seeds)
    rows = reference.nll
    if paired:
        rows = rows[[reference.seeds.index(seed) for seed in arm.seeds]]
    return combine(
        arm.nll,
        rows,
        base.nll[0],
        arm.tokens,
        weights=weights,
        paired=paired,
        offset=offset,
        seed_bound=seed_bound,
    )


def regret(arm: Scores, reference: Scores, base: Scores, *, seed_bound: float = SEED_BOUND) -> Estimate:
    """NLL(arm) - NLL(reference), nats per token."""
    return contrast(arm, reference, base, (1.0, -1.0, 0.0), seed_bound=seed_bound)


def gain(reference: Scores, base: Scores, *, seed_bound: float = SEED_BOUND) -> Estimate:
    """NLL(base) - NLL(reference), nats per token: what training bought."""
    return contrast(reference, reference, base, (0.0, -1.0, 1.0), seed_bound=seed_bound)


def clearly_positive(estimate: Estimate, level: float = 0.95) -> bool:
    """Whether the lower end of the two-sided interval is above 0 (one-sided 97.5 % by default)."""
    return bool(estimate.interval(level)[0] > 0)


def margin_contrast(
    arm: Scores, reference: Scores, base: Scores, margin: float, *, seed_bound: float = SEED_BOUND
) -> Estimate:
    """D at ``margin``, a share of the gain in [0, 1). Raises UsageError outside it."""
    if not 0 <= margin < 1:
        raise UsageError(f"margin must be at least 0 and below 1 (a share of the gain), found {margin}.")
    return contrast(arm, reference, base, margin_weights(margin), seed_bound=seed_bound)


def recovery(
    arm: Scores, reference: Scores, base: Scores, level: float = 0.95, *, seed_bound: float = SEED_BOUND
) -> Interval | None:
    """Share of the gain that the arm keeps, with the interval found by inverting D in the margin.

    A recovery rho is inside when D at margin 1 - rho is not distinguished from 0 (Fieller's argument), so this
    interval and the verdict never disagree. Returns None when the gain is not clearly positive at ``level``: the set is
    then unbounded and a ratio means nothing.
    """
    bought = gain(reference, base, seed_bound=seed_bound)
    if not clearly_positive(bought, level):
        return None
    lost = float(regret(arm, reference, base).estimate) / float(bought.estimate)

    def bound(side: int) -> Callable[[float], float]:
        return lambda m: float(at(m).interval(level)[side])

    def at(m: float) -> Estimate:
        # `contrast` and not `margin_contrast`: an arm that beats the reference needs margins below 0.
        return contrast(arm, reference, base, margin_weights(m), seed_bound=seed_bound)

    step = float(at(lost).se) / float(bought.estimate)
    least, most = _outward(bound(0), lost, -step), _outward(bound(1), lost, step)
    if least is None or most is None:
        return None
    return Interval(1 - lost, 1 - most, 1 - least)


def _outward(f: Callable[[float], float], start: float, step: float) -> float | None:
    """Find the first sign change of ``f`` from ``start`` in the direction of ``step``; None if there is none."""
    inside = start
    sign = np.sign(step)
    if step == 0:
        return start
    for _ in range(40):
        outside = inside + step
        if f(outside) * sign < 0:  # D falls as the margin grows: f > 0 to the left, f < 0 to the right
            return float(brentq(f, inside, outside, xtol=1e-13, rtol=1e-13)) if f(inside) != 0 else inside
        inside, step = outside, 2 * step
    return None
