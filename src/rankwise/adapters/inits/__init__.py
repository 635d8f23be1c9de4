"""Axis *init*: where training starts. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.inits.base import DataInit, Init, QuantizedInit, Start
from rankwise.adapters.inits.corda import CorDA
from rankwise.adapters.inits.eva import EVA
from rankwise.adapters.inits.gaussian import Gaussian
from rankwise.adapters.inits.gradient_frame import GradientFrame
from rankwise.adapters.inits.kaiming import Kaiming
from rankwise.adapters.inits.kaiming_both import KaimingBoth
from rankwise.adapters.inits.loftq import LoftQ
from rankwise.adapters.inits.lora_ga import LoRAGA
from rankwise.adapters.inits.milora import MiLoRA
from rankwise.adapters.inits.minor_left import MinorLeft
from rankwise.adapters.inits.normal import Normal
from rankwise.adapters.inits.olora import OLoRA
from rankwise.adapters.inits.olora_control import OLoRAControl
from rankwise.adapters.inits.orthogonal import Orthogonal
from rankwise.adapters.inits.orthonormal_a import OrthonormalA
from rankwise.adapters.inits.own import Own
from rankwise.adapters.inits.pissa import PiSSA
from rankwise.adapters.inits.pissa_fast import PiSSAFast
from rankwise.adapters.inits.qpissa import QPiSSA
from rankwise.adapters.inits.scaled_orthogonal import ScaledOrthogonal
from rankwise.adapters.inits.svd_frame import SVDFrame
from rankwise.adapters.inits.symmetric import Symmetric
from rankwise.adapters.inits.zero_a import ZeroA

INITS = register(
    Kaiming,
    Gaussian,
    Orthogonal,
    OLoRA,
    OLoRAControl,
    PiSSA,
    Normal,
    Own,
    MiLoRA,
    SVDFrame,
    CorDA,
    EVA,
    LoRAGA,
    LoftQ,
    QPiSSA,
    KaimingBoth,
    ZeroA,
    Symmetric,
    OrthonormalA,
    MinorLeft,
    PiSSAFast,
    ScaledOrthogonal,
    GradientFrame,
)

__all__ = [
    "EVA",
    "INITS",
    "CorDA",
    "DataInit",
    "Gaussian",
    "GradientFrame",
    "Init",
    "Kaiming",
    "KaimingBoth",
    "LoRAGA",
    "LoftQ",
    "MiLoRA",
    "MinorLeft",
    "Normal",
    "OLoRA",
    "OLoRAControl",
    "Orthogonal",
    "OrthonormalA",
    "Own",
    "PiSSA",
    "PiSSAFast",
    "QPiSSA",
    "QuantizedInit",
    "SVDFrame",
    "ScaledOrthogonal",
    "Start",
    "Symmetric",
    "ZeroA",
]
