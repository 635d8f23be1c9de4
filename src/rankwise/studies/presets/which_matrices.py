"""Preset ``which-matrices``: which attention matrices deserve the parameters? (LoRA, arXiv 2106.09685, tables 5 and 6)

One budget, spent on one matrix at a high rank or on several at lower ranks; then ladders of ranks on q, on
q and v, and on all four. The paper's model has square matrices; where k and v are narrower, ranks are chosen by
parameters.

The quick study answers in about twelve minutes on two cores: three data sets as cells, runs of 8 steps, one seed, one
rate for full fine-tuning, the ladders in the first cell only. Data sets named in `--data` get every arm.
"""

from __future__ import annotations

from typing import Any

from rankwise.cost import blueprint, model_shape
from rankwise.errors import UsageError
from rankwise.studies.config import Arm
from rankwise.studies.presets.arms import ALPHA, full_arm

QUESTION = "Which attention matrices should a fixed number of parameters go to?"
KINDS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj"}
SETS = (("q",), ("k",), ("v",), ("o",), ("q", "k"), ("q", "v"), ("q", "k", "v", "o"))
LADDERS = (("q",), ("q", "v"), ("q", "k", "v", "o"))

RANKS = {"smoke": (1,), "quick": (1, 64), "tutorial": (1, 2, 4, 8, 64)}


def arms(scale: str, model: str) -> tuple[Arm, ...]:
    """Full fine-tuning, seven ways to spend one budget, and ladders of ranks.

    Raises:
        UsageError: the model does not keep q, k, v and o in linear layers of their own.
    """
    sides = _sides(model)
    base = 4 if scale == "smoke" else 8
    budget = base * (sides["q"] + sides["v"])
    found = [full_arm()]
    for kinds in SETS:
        found.append(_arm(kinds, max(round(budget / sum(sides[k] for k in kinds)), 1)))
    for kinds in LADDERS:
        found += [_arm(kinds, rank) for rank in RANKS[scale]]
    return tuple({arm.name: arm for arm in found}.values())


def design(scale: str) -> dict[str, Any]:
    """The quick study is short, on one seed, and stops the worse rates early."""
    if scale != "quick":
        return {}
    screening = {
        "schedule": "constant",
        "fresh_seeds": (),
        "finalists": 0,
        "measure": False,
        "refine": None,
        "widen": 0,
    }
    return {"steps": 8, "eval_every": 2, "sizes": {"train": 160, "selection": 24, "test": 96}, **screening}


def only_first(arm: Arm) -> bool:
    """Whether an arm is a rung of a ladder, beside the equal budgets that the claim is about."""
    return any(arm.name == f"{'-'.join(kinds)}-r{rank}" for kinds in LADDERS for rank in RANKS["quick"])


def _sides(model: str) -> dict[str, int]:
    """Parameters that one unit of rank costs in every layer, by kind: the sum of d_in + d_out."""
    shapes = model_shape(blueprint(model).model).linear
    sides = {
        kind: sum(m + n for name, (m, n) in shapes.items() if name.rsplit(".", 1)[-1] == own)
        for kind, own in KINDS.items()
    }
    if missing := [KINDS[kind] for kind, count in sides.items() if not count]:
        raise UsageError(
            f"which-matrices needs q_proj, k_proj, v_proj and o_proj as layers of their own; {model} has no "
            f"{', '.join(missing)}. Use the placement preset."
        )
    return sides


def _arm(kinds: tuple[str, ...], rank: int) -> Arm:
    options: dict[str, str | int | float] = {
        "rank": rank,
        "alpha": ALPHA,
        "placement": ",".join(KINDS[kind] for kind in kinds),
    }
    name = "-".join(kinds)
    return Arm(name=f"{name}-r{rank}", label=f"LoRA on {', '.join(kinds)} r={rank}", method="lora", options=options)
