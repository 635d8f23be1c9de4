"""Counting who is ahead: a win is strict, ties are shown and belong to nobody."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Count:
    """Cells in which the challenger is ahead, behind, or exactly level."""

    wins: int = 0
    losses: int = 0
    ties: int = 0

    @property
    def cells(self) -> int:
        """All of them."""
        return self.wins + self.losses + self.ties

    @property
    def share(self) -> float:
        """Wins over all cells, ties among them."""
        return self.wins / self.cells if self.cells else float("nan")

    def __str__(self) -> str:
        return f"{self.wins} of {self.cells}" + (f" ({self.ties} ties)" if self.ties else "")


def count_wins(pairs: Iterable[tuple[float, float]]) -> Count:
    """Count pairs (challenger's loss, baseline's loss); lower is better and a win is strict."""
    listed = list(pairs)
    wins = sum(own < other for own, other in listed)
    losses = sum(own > other for own, other in listed)
    return Count(wins, losses, len(listed) - wins - losses)
