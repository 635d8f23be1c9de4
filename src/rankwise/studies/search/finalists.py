"""Which arms get fresh seeds: the best one, and the cheapest ones that look as if they matched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rankwise.stats.margin import Margin


@dataclass(frozen=True)
class Screened:
    """An arm after screening, at its best learning rate: selection NLL, useful training FLOPs, parameters."""

    name: str
    nll: float
    flops: int
    trainable: int

    def price(self, by: str = "flops") -> tuple[int, int, str]:
        """Sort key: operations, then parameters, then name; parameters first where a study asks for the fewest.

        Time and memory are measured on finalists only, so operations stand in for them here.
        """
        small = by in ("params", "bytes")
        return (self.trainable, self.flops, self.name) if small else (self.flops, self.trainable, self.name)


def choose_finalists(
    arms: Sequence[Screened],
    reference_nll: float,
    base_nll: float,
    margin: Margin,
    count: int,
    by: str = "flops",
) -> list[str]:
    """Return up to ``count`` names: the best on selection, then the cheapest within the margin, then the next best.

    The margin is applied to the point estimates of screening; the verdict itself uses fresh seeds and intervals.
    """
    if count == 0 or not arms:
        return []
    by_score = sorted(arms, key=lambda a: (a.nll, a.price(by)))
    limit = reference_nll + margin.nats(reference_nll, base_nll)
    cheap = sorted((a for a in arms if a.nll <= limit), key=lambda a: a.price(by))
    ordered = [by_score[0], *cheap, *by_score[1:]]
    return list(dict.fromkeys(a.name for a in ordered))[:count]
