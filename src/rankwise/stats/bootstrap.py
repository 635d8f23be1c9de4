"""A cross-check of the closed-form interval: the pigeonhole bootstrap over seeds and examples.

Seeds and examples are resampled independently and the ratio of sums recomputed (Owen 2007, arXiv 0712.1111). It
counts the interaction up to three times, so it is wide when interaction dominates; with S seeds it sees only
(S - 1) / S of the seed variance, so it is short when seeds dominate. It is never used for a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rankwise.stats.scores import FloatArray


def pigeonhole(
    groups: Sequence[FloatArray],
    tokens: FloatArray,
    *,
    constant: FloatArray | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> FloatArray:
    """Bootstrap draws, (replicates,), of the contrast that `rankwise.stats.crossed.crossed` estimates.

    ``groups``: arrays (S_g, N) already weighted; ``tokens`` and ``constant``: (N,). Take quantiles for an interval.
    """
    rng = np.random.default_rng(seed)
    n = tokens.size
    examples = rng.multinomial(n, np.full(n, 1 / n), size=replicates).astype(np.float64)
    total = np.zeros(replicates) if constant is None else examples @ constant
    for group in groups:
        s = group.shape[0]
        runs = rng.multinomial(s, np.full(s, 1 / s), size=replicates) / s
        total = total + np.einsum("rs,rn,sn->r", runs, examples, group, optimize=True)
    return np.asarray(total / (examples @ tokens))
