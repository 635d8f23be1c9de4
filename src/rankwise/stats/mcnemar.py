"""Exact paired comparison of right and wrong answers (McNemar 1947)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from rankwise.errors import UsageError


@dataclass(frozen=True)
class Paired:
    """Examples that only one side answered, and the exact two-sided p-value that both are equally good."""

    only_arm: int
    only_reference: int
    p: float


def mcnemar(arm: ArrayLike, reference: ArrayLike) -> Paired:
    """Compare correctness, (N,) booleans each, on the same examples of one run. Raises UsageError for other shapes."""
    a, r = np.asarray(arm, dtype=bool), np.asarray(reference, dtype=bool)
    if a.ndim != 1 or a.shape != r.shape:
        raise UsageError(f"mcnemar: both sides need the same examples, found shapes {a.shape} and {r.shape}.")
    b, c = int(np.sum(a & ~r)), int(np.sum(~a & r))
    return Paired(b, c, float(binomtest(b, b + c).pvalue) if b + c else 1.0)
