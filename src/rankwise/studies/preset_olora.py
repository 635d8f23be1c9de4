"""Preset ``olora``: does starting from W's own factors pay, and is it the QR that pays? (arXiv 2406.01775)

LoRA, OLoRA, PiSSA and MiLoRA (where the catalogue has it) at two ranks, all at scale 1 (alpha = rank), so that one
learning rate means one thing; and two controls of OLoRA's start at the lower rank. `rankwise analyze olora --study DIR`
reads the result: at each arm's own best rate, and at a rate that it shares with LoRA as far as both were trained there
(`--set search=grid` trains every rate to the end).
"""

from __future__ import annotations

from typing import Literal

from rankwise.adapters import Adapter
from rankwise.adapters.inits import OLoRAControl
from rankwise.methods import catalogue
from rankwise.studies.arms import full_arm, lora_arm, method_arm
from rankwise.studies.config import Arm

QUESTION = "Does starting from W's own factors beat plain LoRA, and how much of it is the learning rate?"
CHALLENGERS = (("olora", "OLoRA"), ("pissa", "PiSSA"), ("milora", "MiLoRA"))
CONTROLS: tuple[tuple[Literal["norm", "spectrum"], str, str], ...] = (
    ("norm", "orthonormal", "Random orthonormal"),
    ("spectrum", "spectrum", "W's spectrum only"),
)


def ranks(scale: str) -> tuple[int, int]:
    """The paper's 32 and 64; smaller on the random model."""
    return (4, 8) if scale == "smoke" else (32, 64)


def arms(scale: str, model: str) -> tuple[Arm, ...]:
    """Full fine-tuning, every method at both ranks, both controls at the lower one."""
    known = {card.name for card in catalogue()}
    methods = [(name, label) for name, label in CHALLENGERS if name in known]
    low = ranks(scale)[0]
    found = [full_arm()]
    for rank in ranks(scale):
        found.append(lora_arm(rank, alpha=float(rank)))
        found += [method_arm(name, label, rank) for name, label in methods]
    for keep, name, label in CONTROLS:
        control = Adapter(rank=low, alpha=float(low), init=OLoRAControl(keep))
        found.append(Arm(name=f"{name}-r{low}", label=f"{label} r={low}", adapter=control.to_dict()))
    return tuple(found)
