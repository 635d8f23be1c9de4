"""Pareto fronts of two losses, both to be small: learning a target against forgetting a source (2405.09673)."""

from __future__ import annotations


def pareto_front(points: list[tuple[float, float]]) -> list[int]:
    """Return the indices of the points that no other point beats in both coordinates, ascending in the first.

    Equal points are all kept: neither beats the other.
    """

    def beaten(i: int) -> bool:
        x, y = points[i]
        return any(p <= x and q <= y and (p < x or q < y) for j, (p, q) in enumerate(points) if j != i)

    return sorted((i for i in range(len(points)) if not beaten(i)), key=lambda i: points[i])
