"""Preset ``olora``: does starting from W's own factors pay, and is it the QR that pays? (arXiv 2406.01775)

LoRA, OLoRA, PiSSA and MiLoRA (where the catalogue has it) at two ranks, all at scale 1 (alpha = rank), so that one
learning rate means one thing; and two controls of OLoRA's start Q_r R_r at the lower rank: random orthonormal factors
with its norm, and with its singular values (which are no subset of W's). Every rate is trained to the end: the claim
is read at each arm's own best rate and at the one that all arms share (`rankwise analyze olora --study DIR`).

The quick study answers in about twenty minutes on two cores: three data sets as cells, runs of 8 steps, three rates
an arm, one seed, no full fine-tuning (LoRA at the higher rank is the reference of the report), PiSSA and MiLoRA at
the lower rank in the first cell only. Data sets named in `--data` get every arm.
"""

from __future__ import annotations

from typing import Any, Literal

from rankwise.adapters import Adapter
from rankwise.adapters.inits import OLoRAControl
from rankwise.methods import catalogue
from rankwise.studies.config import Arm
from rankwise.studies.presets.arms import full_arm, lora_arm, method_arm

QUESTION = "Does starting from W's own factors beat plain LoRA, and how much of it is the learning rate?"
CHALLENGERS = (("olora", "OLoRA"), ("pissa", "PiSSA"), ("milora", "MiLoRA"))
CONTROLS: tuple[tuple[Literal["norm", "spectrum"], str, str], ...] = (
    ("norm", "orthonormal", "Random orthonormal"),
    ("spectrum", "spectrum", "Start's singular values"),
)


def ranks(scale: str) -> tuple[int, int]:
    """The paper's 32 and 64; smaller on the random model."""
    return (4, 8) if scale == "smoke" else (32, 64)


def arms(scale: str, model: str) -> tuple[Arm, ...]:
    """Full fine-tuning, every method at both ranks (see above for the quick study), both controls at the lower one."""
    known = {card.name for card in catalogue()}
    methods = [(name, label) for name, label in CHALLENGERS if name in known]
    low = ranks(scale)[0]
    found = [full_arm()]
    for rank in ranks(scale):
        found.append(lora_arm(rank, alpha=float(rank)))
        claimed = (
            scale == "quick" and rank != low
        )  # the others' singular value decompositions take the time of ten steps
        found += [method_arm(name, label, rank) for name, label in methods if name == "olora" or not claimed]
    for keep, name, label in CONTROLS:
        control = Adapter(rank=low, alpha=float(low), init=OLoRAControl(keep))
        found.append(Arm(name=f"{name}-r{low}", label=f"{label} r={low}", adapter=control.to_dict()))
    return tuple(found)


def design(scale: str) -> dict[str, Any]:
    """Grids trained to the end at every scale; the quick study short, on one seed, and without full fine-tuning."""
    if scale != "quick":
        return {"search": "grid"}
    screening = {"schedule": "constant", "fresh_seeds": (), "finalists": 0, "measure": False, "refine": None}
    return {"search": "grid", "steps": 8, "eval_every": 2, "reference": "best-rank", **screening}


def only_first(arm: Arm) -> bool:
    """Whether an arm is one of those that the claim does not need: the quick study has them in one cell."""
    return arm.method in ("pissa", "milora")
