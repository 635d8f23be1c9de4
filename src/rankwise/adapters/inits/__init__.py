"""Axis *init*: where training starts. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.inits.base import Init, Start
from rankwise.adapters.inits.gaussian import Gaussian
from rankwise.adapters.inits.kaiming import Kaiming
from rankwise.adapters.inits.olora import OLoRA
from rankwise.adapters.inits.olora_control import OLoRAControl
from rankwise.adapters.inits.orthogonal import Orthogonal
from rankwise.adapters.inits.pissa import PiSSA

INITS = register(Kaiming, Gaussian, Orthogonal, OLoRA, OLoRAControl, PiSSA)

__all__ = ["INITS", "Gaussian", "Init", "Kaiming", "OLoRA", "OLoRAControl", "Orthogonal", "PiSSA", "Start"]
