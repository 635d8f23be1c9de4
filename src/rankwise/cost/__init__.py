"""What a run costs: parameters, floating-point operations, memory, time."""

from rankwise.cost.blueprint import Blueprint, blueprint
from rankwise.cost.estimate import Estimate, Plan, Side, estimate
from rankwise.cost.flops import Workload, adapter_flops, evaluation_flops, full_flops
from rankwise.cost.matching import MatchedRanks, match_ranks
from rankwise.cost.shape import ModelShape, model_shape

__all__ = [
    "Blueprint",
    "Estimate",
    "MatchedRanks",
    "ModelShape",
    "Plan",
    "Side",
    "Workload",
    "adapter_flops",
    "blueprint",
    "estimate",
    "evaluation_flops",
    "full_flops",
    "match_ranks",
    "model_shape",
]

PUBLIC = (
    "blueprint",
    "count",
    "estimate",
    "memory",
)
"""Modules that other rooms import."""
