"""Per-example losses of one arm: what every interval and verdict is computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rankwise.errors import RunError, UsageError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """Held-out negative log-likelihoods of one arm under S seeds on the same N examples.

    ``nll``: (S, N) sums over each example's target tokens, in nats. ``tokens``: (N,) target tokens per example.
    ``seeds``: the S distinct seeds, in row order; empty for a model without training noise (see `without_seed`).
    Arrays are copied to float64 and made read-only.

    Raises UsageError for shapes, seeds or token counts that do not fit and RunError for NaN or infinite losses.
    """

    nll: FloatArray
    tokens: FloatArray
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        nll = np.array(self.nll, dtype=np.float64)
        tokens = np.array(self.tokens, dtype=np.float64)
        if nll.ndim != 2 or nll.size == 0:
            raise UsageError(f"scores: nll must have shape (seeds, examples), found {nll.shape}.")
        if tokens.shape != nll.shape[1:]:
            raise UsageError(
                f"scores: tokens must have one count per example, shape {nll.shape[1:]}, found {tokens.shape}."
            )
        if not np.all(np.isfinite(tokens) & (tokens >= 1)):
            bad = int(np.flatnonzero(~(np.isfinite(tokens) & (tokens >= 1)))[0])
            raise UsageError(
                f"scores: every example needs at least one target token, example {bad} has {tokens[bad]:g}; "
                "drop it from the test split."
            )
        if len(self.seeds) != nll.shape[0] and not (self.seeds == () and nll.shape[0] == 1):
            raise UsageError(f"scores: {nll.shape[0]} rows of nll need as many seeds, found {self.seeds}.")
        if len(set(self.seeds)) != len(self.seeds):
            raise UsageError(f"scores: seeds must be distinct, found {self.seeds}; a run counts once.")
        if not np.all(np.isfinite(nll)):
            row, example = (int(i) for i in np.argwhere(~np.isfinite(nll))[0])
            which = f"seed {self.seeds[row]}" if self.seeds else "the untrained model"
            raise RunError(
                f"scores: the loss of example {example} under {which} is {nll[row, example]}; "
                "a diverged run has no score, record it as diverged and leave it out."
            )
        nll.setflags(write=False)
        tokens.setflags(write=False)
        object.__setattr__(self, "nll", nll)
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "seeds", tuple(self.seeds))

    @classmethod
    def without_seed(cls, nll: ArrayLike, tokens: ArrayLike) -> Scores:
        """Scores of a model that no seed touched, such as the untrained base. ``nll``, ``tokens``: (N,)."""
        return cls(np.asarray(nll, dtype=np.float64)[None], np.asarray(tokens, dtype=np.float64), ())

    @property
    def examples(self) -> int:
        """Number of examples, N."""
        return int(self.tokens.size)

    @property
    def score(self) -> float:
        """Mean loss per target token over seeds and examples, in nats: a ratio of sums, never a mean of ratios."""
        return float(self.nll.sum() / (self.nll.shape[0] * self.tokens.sum()))

    @property
    def per_seed(self) -> FloatArray:
        """The score under each seed, (S,)."""
        return np.asarray(self.nll.sum(axis=1) / self.tokens.sum())
