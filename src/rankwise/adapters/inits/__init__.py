"""Axis *init*: where training starts. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.inits.base import DataInit, Init, QuantizedInit, Start
from rankwise.adapters.inits.gaussian import Gaussian
from rankwise.adapters.inits.kaiming import Kaiming
from rankwise.adapters.inits.milora import MiLoRA
from rankwise.adapters.inits.normal import Normal
from rankwise.adapters.inits.olora import OLoRA
from rankwise.adapters.inits.orthogonal import Orthogonal
from rankwise.adapters.inits.own import Own
from rankwise.adapters.inits.pissa import PiSSA
from rankwise.adapters.inits.svd_frame import SVDFrame

INITS = register(Kaiming, Gaussian, Orthogonal, OLoRA, PiSSA, Normal, Own, MiLoRA, SVDFrame)

__all__ = [
    "INITS",
    "DataInit",
    "Gaussian",
    "Init",
    "Kaiming",
    "MiLoRA",
    "Normal",
    "OLoRA",
    "Orthogonal",
    "Own",
    "PiSSA",
    "QuantizedInit",
    "SVDFrame",
    "Start",
]
