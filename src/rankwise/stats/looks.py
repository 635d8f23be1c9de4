"""When a comparison may be looked at, and at which level each time, so that all looks together err as one would.

A sequential design adds one fresh seed after the other and looks after each, from the third on. Each kind of claim
may be wrong 2.5 % of the time over all looks; Lan and DeMets (1983) say how much of it may be spent up to a look, and
the level of the look follows from the joint distribution of all statistics so far (Armitage, McPherson and Rowe 1969).
Student p-values are held against these levels (Jennison and Turnbull 2000, chapter 3).

The share spent after n seeds is fixed beforehand and does not depend on when anyone stops:

    spent(n) = 0.9 (n / horizon)^2             up to the horizon (the power family of Kim and DeMets 1987)
               0.9 + 0.1 (1 - horizon / n)     beyond it, for whoever goes on

So a look means the same whether it was planned, taken by hand, taken again after a crash, or taken because the limit
was raised: nothing can be spent twice, and results that look promising may be the reason to go on. The information of
n seeds counts as n; the test examples are shared by all looks, so early looks know more than that and spend less than
they may, which is safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri

from rankwise.errors import UsageError
from rankwise.stats.crossed import FEWEST_SEEDS, SEED_BOUND, SEQUENTIAL_BOUND

EXPONENT = 2.0  # of the power family: 1.5 to 3 decide alike, higher spends later
RESERVE = 0.1  # of the error, kept for looks beyond the horizon
HORIZON = 12  # seeds
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(160)
_FAR = 8.5  # standard deviations beyond which nothing is left


@dataclass(frozen=True)
class Look:
    """One look at a comparison: the plain test of a single planned look, unless ``horizon`` is given.

    Attributes:
        seeds: fresh seeds so far.
        horizon: of a sequential design; None: the only look there is.
    """

    seeds: int
    horizon: int | None = None

    @property
    def seed_bound(self) -> float:
        """Confidence of the guard on degrees of freedom (:mod:`rankwise.stats.crossed`)."""
        return SEED_BOUND if self.horizon is None else SEQUENTIAL_BOUND

    def level(self, error: float) -> float:
        """Return the one-sided level of this look when claims may be wrong a share ``error`` over all looks."""
        return error if self.horizon is None else nominal_level(error, self.seeds, self.horizon)

    def spent(self, error: float) -> float:
        """Return how much of ``error`` is spent after this look."""
        return error if self.horizon is None else error * spent_share(self.seeds, self.horizon)


ONCE = Look(0)  # the only look, at however many seeds


def spent_share(seeds: int, horizon: int) -> float:
    """Return the share of the error that may be spent up to a look at so many seeds; 0 before the first look."""
    if seeds < FEWEST_SEEDS:
        return 0.0
    if seeds <= horizon:
        return (1 - RESERVE) * (seeds / horizon) ** EXPONENT
    return 1 - RESERVE + RESERVE * (1 - horizon / seeds)


def nominal_level(error: float, seeds: int, horizon: int) -> float:
    """Return the one-sided level of the look at ``seeds`` in a design with a look after each seed from the third.

    Raises:
        UsageError: a horizon below the first look.
    """
    if horizon < FEWEST_SEEDS:
        raise UsageError(f"a sequential design needs at least {FEWEST_SEEDS} seeds, found {horizon}.")
    if seeds < FEWEST_SEEDS:
        return 0.0
    return float(ndtr(-_bounds(error, seeds, horizon)[-1]))


@lru_cache(maxsize=256)
def _bounds(error: float, seeds: int, horizon: int) -> tuple[float, ...]:
    """Upper bounds on z at every look up to ``seeds``.

    The sum S of independent normal increments, variance 1 a seed, is followed from look to look: its density where no
    bound was crossed yet is held at Gauss-Legendre nodes.
    """
    counts = range(FEWEST_SEEDS, seeds + 1)
    shares = [spent_share(n, horizon) for n in counts]
    bounds = [float(-ndtri(error * shares[0]))]
    x, weights = _grid(counts[0], bounds[0])
    density = np.exp(-(x**2) / (2 * counts[0])) / np.sqrt(2 * np.pi * counts[0])
    for n, before, share in zip(counts[1:], shares, shares[1:], strict=False):
        mass, step = weights * density, error * (share - before)

        def crossed_more(z: float, n: int = n, mass: np.ndarray = mass, x: np.ndarray = x, step: float = step) -> float:
            return float(mass @ np.exp(log_ndtr(x - z * np.sqrt(n)))) - step

        bounds.append(float(brentq(crossed_more, 0.0, _FAR, xtol=1e-12)))
        new, new_weights = _grid(n, bounds[-1])
        density = np.exp(-((new[:, None] - x) ** 2) / 2) @ mass / np.sqrt(2 * np.pi)
        x, weights = new, new_weights
    return tuple(bounds)


def _grid(n: int, bound: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights over the sums after ``n`` seeds from far below up to the bound."""
    low, high = -_FAR * np.sqrt(n), bound * np.sqrt(n)
    half = (high - low) / 2
    return low + half * (_NODES + 1), half * _WEIGHTS
