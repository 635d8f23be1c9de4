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


def paired_over_seeds(arm: ArrayLike, reference: ArrayLike) -> Paired:
    """Compare correctness, (S, N) and (S', N) booleans, question by question: an exact sign test over questions.

    A question counts for the side that gets it right under the larger share of its seeds; equal shares count for
    neither. With one seed a side this is :func:`mcnemar`. The claim holds for these seeds. Raises UsageError for
    other shapes.
    """
    a, r = np.asarray(arm, dtype=bool), np.asarray(reference, dtype=bool)
    if a.ndim != 2 or r.ndim != 2 or a.shape[1] != r.shape[1] or not (len(a) and len(r)):
        raise UsageError(f"paired_over_seeds: both sides need the same examples, found shapes {a.shape} and {r.shape}.")
    ours, theirs = a.sum(axis=0) * len(r), r.sum(axis=0) * len(a)  # whole numbers: no rounding decides a tie
    return mcnemar(ours > theirs, theirs > ours)


def mcnemar(arm: ArrayLike, reference: ArrayLike) -> Paired:
    """Compare correctness, (N,) booleans each, on the same examples of one run. Raises UsageError for other shapes."""
    a, r = np.asarray(arm, dtype=bool), np.asarray(reference, dtype=bool)
    if a.ndim != 1 or a.shape != r.shape:
        raise UsageError(f"mcnemar: both sides need the same examples, found shapes {a.shape} and {r.shape}.")
    b, c = int(np.sum(a & ~r)), int(np.sum(~a & r))
    return Paired(b, c, float(binomtest(b, b + c).pvalue) if b + c else 1.0)
