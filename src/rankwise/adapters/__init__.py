"""What an adapter is: the frozen spec, one folder per axis, attaching, layers, files."""

from rankwise.adapters.adapter import Adapter
from rankwise.adapters.attach import Handle, Match, Matched, attach, check, stream_seed
from rankwise.adapters.checkpoint import load, save
from rankwise.adapters.full import Full
from rankwise.adapters.several import mixed, switch

__all__ = [
    "Adapter",
    "Full",
    "Handle",
    "Match",
    "Matched",
    "attach",
    "check",
    "load",
    "mixed",
    "save",
    "stream_seed",
    "switch",
]
