"""The mean loss of one model on held-out examples, with its interval over examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student


@dataclass(frozen=True)
class Mean:
    """A ratio of sums with a 95 % interval over examples, in nats per token.

    ``low`` and ``high`` are None for a single example, which has no spread.
    """

    value: float
    low: float | None
    high: float | None
    examples: int

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.4f}"
        return f"{self.value:.4f} (95 % interval {self.low:.4f} to {self.high:.4f}, {self.examples} examples)"


def per_token(nll: Sequence[float], tokens: Sequence[int], level: float = 0.95) -> Mean:
    """Return sum of ``nll`` over sum of ``tokens`` with its interval.

    The ratio estimator's linearization: residuals nll_i - value * tokens_i, their standard error over the mean count,
    Student's t with one degree of freedom less than examples.

    Args:
        nll: sums per example, in nats.
        tokens: target tokens per example, each at least 1.
    """
    losses, counts = np.asarray(nll, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    value = float(losses.sum() / counts.sum())
    n = len(losses)
    if n < 2:
        return Mean(value, None, None, n)
    residuals = losses - value * counts
    error = float(np.sqrt(residuals @ residuals / (n - 1) / n) / counts.mean())
    half = float(student.ppf(0.5 + level / 2, n - 1)) * error
    return Mean(value, value - half, value + half, n)


FLOOR = 0.05  # of right answers: with no more on any side, a handful of lucky ones decides everything


@dataclass(frozen=True)
class Share:
    """How many of a number of yes-or-no results were yes, with a 95 % Wilson interval over examples."""

    right: int
    of: int
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{self.right / self.of:.1%} ({self.right} of {self.of}; 95 % interval {self.low:.1%} to {self.high:.1%})"
        )


def share(right: Sequence[bool], level: float = 0.95) -> Share:
    """Return the share of ``right`` that is true, with Wilson's score interval (1927); at least one entry."""
    n, yes = len(right), sum(right)
    return Share(yes, n, *wilson(yes, n, level))


def wilson(yes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Return the ends of Wilson's score interval for ``yes`` of ``n``, above 0; an effective size need not be whole."""
    z = float(norm.ppf(0.5 + level / 2))
    center = (yes + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * float(np.sqrt(yes * (n - yes) / n + z * z / 4))
    # At 0 of n and n of n one end is exact, which rounding must not move inwards.
    return max(center - half, 0.0) if yes > 0 else 0.0, min(center + half, 1.0) if yes < n else 1.0
