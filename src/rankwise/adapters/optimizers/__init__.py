"""Axis *optimizer*: how fast each factor moves. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.optimizers.adamw import AdamW
from rankwise.adapters.optimizers.base import Optimizer
from rankwise.adapters.optimizers.lora_plus import LoRAPlus

OPTIMIZERS = register(AdamW, LoRAPlus)

__all__ = ["OPTIMIZERS", "AdamW", "LoRAPlus", "Optimizer"]
