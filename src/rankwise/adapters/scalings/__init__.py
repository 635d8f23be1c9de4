"""Axis *scaling*: how loud the update is. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.scalings.alpha_over_rank import AlphaOverRank
from rankwise.adapters.scalings.alpha_over_rank_eps import AlphaOverRankEps
from rankwise.adapters.scalings.alpha_over_sqrt_rank import AlphaOverSqrtRank
from rankwise.adapters.scalings.base import Scaling
from rankwise.adapters.scalings.constant import Constant

SCALINGS = register(AlphaOverRank, AlphaOverSqrtRank, Constant, AlphaOverRankEps)

__all__ = ["SCALINGS", "AlphaOverRank", "AlphaOverRankEps", "AlphaOverSqrtRank", "Constant", "Scaling"]
