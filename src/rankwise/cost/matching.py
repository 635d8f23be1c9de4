"""Ranks at which attention-only and MLP-only adapters train about as many parameters.

At one rank the MLP adapter is about three times as large as the attention adapter, so "MLP beats attention at rank
128" compares sizes as much as places. Matching picks one rank for each from a list of candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rankwise.adapters.placements import MLP, Attention, Placement
from rankwise.cost.shape import ModelShape
from rankwise.errors import UsageError

ATTENTION_RANKS = (64, 96, 128, 192, 256, 320, 384, 512)
MLP_RANKS = (16, 24, 32, 48, 64, 80, 96, 112, 128, 160)


@dataclass(frozen=True)
class MatchedRanks:
    """One rank for each place, with the parameters that low-rank adapters of these ranks train."""

    attention: int
    mlp: int
    attention_parameters: int
    mlp_parameters: int

    @property
    def difference(self) -> float:
        """Difference of the two counts, as a share of the smaller."""
        low, high = sorted((self.attention_parameters, self.mlp_parameters))
        return (high - low) / low


def coefficient(shape: ModelShape, placement: Placement) -> int:
    """Return the parameters a low-rank adapter has per unit of rank: the sum of d_in + d_out.

    Raises:
        UsageError: the placement matches nothing.
    """
    total = sum(sum(shape.linear[name]) for name in placement.matches(list(shape.linear)))
    if not total:
        raise UsageError(f"placement {placement.describe()} matches no linear module of this model.")
    return total


def match_ranks(
    shape: ModelShape, attention: Sequence[int] = ATTENTION_RANKS, mlp: Sequence[int] = MLP_RANKS
) -> MatchedRanks:
    """Return the pair of candidates whose parameter counts are closest; of equals, the one with smaller ranks.

    Args:
        attention: candidate ranks for attention.
        mlp: candidate ranks for the MLP.

    Raises:
        UsageError: a list is empty or holds a rank below 1, or the model has no attention or no MLP modules.
    """
    for name, ranks in (("attention", attention), ("mlp", mlp)):
        if not ranks or min(ranks) < 1:
            raise UsageError(f"candidate ranks for {name} must be whole numbers of at least 1, found {list(ranks)}.")
    per_attention, per_mlp = coefficient(shape, Attention()), coefficient(shape, MLP())
    pairs = ((a, m) for a in sorted(attention) for m in sorted(mlp))
    a, m = min(pairs, key=lambda pair: abs(pair[0] * per_attention - pair[1] * per_mlp))
    return MatchedRanks(a, m, a * per_attention, m * per_mlp)
