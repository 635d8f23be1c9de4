"""Preset ``which-matrices``: which attention matrices deserve the parameters? (LoRA, arXiv 2106.09685, tables 5 and 6)

One budget, spent on one matrix at a high rank or on several at lower ranks; then a ladder of ranks on q and v and on
all four. The paper's model has square matrices; where k and v are narrower, ranks are chosen by parameters.
"""

from __future__ import annotations

from rankwise.cost import blueprint, model_shape
from rankwise.errors import UsageError
from rankwise.studies.arms import ALPHA, full_arm
from rankwise.studies.config import Arm

QUESTION = "Which attention matrices should a fixed number of parameters go to?"
KINDS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj"}
SETS = (("q",), ("k",), ("v",), ("o",), ("q", "k"), ("q", "v"), ("q", "k", "v", "o"))
LADDERS = (("q", "v"), ("q", "k", "v", "o"))


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
    ladder = {"smoke": (1,), "quick": (1, 64), "tutorial": (1, 2, 4, 8, 64)}[scale]
    for kinds in LADDERS:
        found += [_arm(kinds, rank) for rank in ladder]
    return tuple({arm.name: arm for arm in found}.values())


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
