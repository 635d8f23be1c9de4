"""Axis *optimizer*: how a step is made of the gradients. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.optimizers.adamw import AdamW
from rankwise.adapters.optimizers.base import Optimizer
from rankwise.adapters.optimizers.flora import Flora
from rankwise.adapters.optimizers.galore import GaLore
from rankwise.adapters.optimizers.lora_fa import ProjectedB
from rankwise.adapters.optimizers.lora_plus import LoRAPlus
from rankwise.adapters.optimizers.riemannian import Riemannian

OPTIMIZERS = register(AdamW, LoRAPlus, ProjectedB, Riemannian, GaLore, Flora)

__all__ = ["OPTIMIZERS", "AdamW", "Flora", "GaLore", "LoRAPlus", "Optimizer", "ProjectedB", "Riemannian"]
