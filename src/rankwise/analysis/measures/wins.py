"""Counting who is ahead, strictly or beyond a margin, and how likely such a count is by chance.

A tie counts as a duel, and as neither a win nor a loss (so "53 of 60" counts strict wins). The sign test
(Arbuthnott 1710) asks how often fair coins would split the duels that either side won at least as unevenly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import binomtest

MARGIN = 0.02  # of the gain over the untouched model: what counts as ahead


@dataclass(frozen=True)
class Count:
    """Duels in which the challenger is ahead, behind, or level with the baseline."""

    wins: int = 0
    losses: int = 0
    ties: int = 0

    @property
    def cells(self) -> int:
        """All of them."""
        return self.wins + self.losses + self.ties

    @property
    def share(self) -> float:
        """Wins over all duels, ties among them."""
        return self.wins / self.cells if self.cells else float("nan")

    @property
    def p(self) -> float:
        """Exact two-sided p-value of the sign test over wins and losses; 1 without any."""
        decided = self.wins + self.losses
        return float(binomtest(self.wins, decided).pvalue) if decided else 1.0

    def __str__(self) -> str:
        return f"{self.wins} of {self.cells}" + (f" ({self.ties} ties)" if self.ties else "")


def count_wins(pairs: Iterable[tuple[float, float]]) -> Count:
    """Count pairs (challenger's loss, baseline's loss); lower is better and a win is strict."""
    return count_beyond((own, other, 0.0) for own, other in pairs)


def count_beyond(duels: Iterable[tuple[float, float, float]]) -> Count:
    """Count triples (challenger's loss, baseline's loss, margin): ahead is lower by more than the margin."""
    listed = list(duels)
    wins = sum(other - own > margin for own, other, margin in listed)
    losses = sum(own - other > margin for own, other, margin in listed)
    return Count(wins, losses, len(listed) - wins - losses)


def margin_of_gain(base: float, *losses: float) -> float:
    """Return ``MARGIN`` of the gain of the lowest of ``losses`` over the untouched model's, at least 0."""
    return MARGIN * max(base - min(losses), 0.0)
