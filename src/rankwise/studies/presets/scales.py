"""Named sizes: how long, how much data, which grids."""

from __future__ import annotations

from typing import Any

from rankwise.adapters import Adapter, Full
from rankwise.methods.rate_rule import Family
from rankwise.studies.search.lr_prior import SHORT, WIDTH, center, on_ladder, prior, rule_of

_COMMON: dict[str, Any] = {"schedule": "constant", "clip": 1.0, "seed": 0}
# The margin (stats/margin.py) was fixed before any study was judged by it.
_COMMON |= {"margin": 0.05, "margin_loss": 0.10, "margin_floor": 0.01}
# Stop learning rates early, look once beyond an edge, and rerun a fitted optimum that promises 1 % of the gain.
_SEARCH: dict[str, Any] = {"search": "halving", "widen": 1, "refine": 0.01}

SCALES: dict[str, dict[str, Any]] = {
    # Half a minute on two CPU cores: a random model shows that everything works, not which rank is enough.
    "smoke": {
        **_COMMON,
        **_SEARCH,
        "model": "tiny",
        "steps": 12,
        "batch": 8,
        "micro_batch": 8,
        "eval_every": 4,
        "dtype": "float32",
        "max_length": 256,
        "sizes": {"train": 64, "selection": 16, "test": 32},
        "fresh_seeds": (1, 2, 3),
        "finalists": 2,
        "measure": False,  # a tiny model's memory is Python's own
        "checkpoint_seconds": 0.0,
    },
    # About a quarter of an hour on two CPU cores, with the default model and data.
    "quick": {
        **_COMMON,
        **_SEARCH,
        "schedule": "linear",  # as trainers do by default; at a constant rate the last steps decide by chance
        "model": "default",
        "steps": 20,
        "batch": 8,
        "micro_batch": 8,
        "eval_every": 5,
        "dtype": "bfloat16",
        "max_length": 256,
        "sizes": {"train": 160, "selection": 32, "test": 256},
        "fresh_seeds": tuple(range(1, 13)),
        "until": "decided",
        "finalists": 2,
        "checkpoint_seconds": 20.0,
    },
    # The recipe of the Vietnamese tutorial that replicates "LoRA Without Regret": one seed, fixed grids, alpha = rank.
    # It has no fresh seeds, so it screens and draws; add --seeds 3 for a verdict.
    "tutorial": {
        **_COMMON,
        "model": "default",
        "data": "word-problems:vi",
        "steps": 60,
        "batch": 16,
        "micro_batch": 4,
        "eval_every": 10,
        "dtype": "bfloat16",
        "max_length": 256,
        "completion_style": "think",
        "system": (
            "Bạn là trợ lý giải toán. Hãy giải từng bước, kiểm tra lại các phép tính và kết thúc bằng đáp số cuối cùng."
        ),
        "sizes": {"train": 7470, "selection": 1322, "test": 1322},
        "fresh_seeds": (),
        "finalists": 0,
        "search": "grid",
        "widen": 0,
        "refine": None,
        "measure": False,
        "checkpoint_seconds": 60.0,
    },
}

# Grids of the scales that have their own: a random tiny model wants high rates, the tutorial's are as printed there.
# Everywhere else the rule in search/lr_prior.py is the start; a method's card may state another (``rates``).
GRIDS: dict[str, dict[Family, tuple[float, ...]]] = {
    "smoke": {
        "full": (3e-3, 1e-2, 3e-2),
        "lora": (3e-3, 1e-2, 3e-2),
        "edited": (3e-3, 1e-2, 3e-2),
        "plus": (1e-3, 3e-3, 1e-2),
    },
    "tutorial": {"full": (1e-5, 2e-5), "lora": (1e-4, 2e-4), "edited": (1e-4, 2e-4), "plus": (5e-5, 1e-4)},
}

# The tutorial's second finding sweeps wider than the others.
SWEEPS: dict[str, dict[Family, tuple[float, ...]]] = {
    "smoke": {"full": (1e-3, 3e-3, 1e-2, 3e-2), "lora": (1e-3, 3e-3, 1e-2, 3e-2)},
    "tutorial": {"full": (5e-6, 1e-5, 2e-5, 5e-5, 1e-4), "lora": (5e-5, 1e-4, 2e-4, 4e-4, 8e-4)},
}


def grid(
    scale: str,
    target: Adapter | Full,
    *,
    method: str | None = None,
    width: int = WIDTH,
    steps: int = SHORT + 1,
    sweep: bool = False,
) -> tuple[float, ...]:
    """Return the starting grid of learning rates.

    Args:
        method: catalogue name of what made ``target``, whose card may have a rule of its own.
        width, steps: hidden width of the model and steps of a run, for scales without a grid of their own.
        sweep: take the wider grid where there is one.
    """
    rule = rule_of(target, method)
    if scale in rule.grids:
        return rule.grids[scale]
    if scale not in GRIDS:
        wide = sweep and rule.like in ("full", "lora")
        return prior(rule.like, width, steps, each_side=2 if wide else 1, times=rule.times)
    rows = {**GRIDS[scale], **(SWEEPS[scale] if sweep else {})}
    return rows[rule.like]


def default_rate(scale: str, target: Adapter | Full, method: str | None = None) -> float:
    """Return the rate of a single run that names none: the middle of the default model's grid.

    Args:
        scale: for methods that have a grid of their own there.
        method: as in :func:`grid`.
    """
    rule = rule_of(target, method)
    if own := rule.grids.get(scale):
        return own[len(own) // 2]
    return on_ladder(rule.times * center(rule.like))
