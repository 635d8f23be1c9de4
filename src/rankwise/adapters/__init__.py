"""What an adapter is: the frozen spec, one folder per axis, attaching, layers, files."""

from rankwise.adapters.adapter import Adapter
from rankwise.adapters.attach import attach, check, stream_seed
from rankwise.adapters.checkpoint import adapters_in, load, load_all, save, save_all
from rankwise.adapters.full import Full
from rankwise.adapters.handle import Handle, Match, Matched
from rankwise.adapters.multi_adapter import mixed, switch

__all__ = [
    "Adapter",
    "Full",
    "Handle",
    "Match",
    "Matched",
    "adapters_in",
    "attach",
    "check",
    "load",
    "load_all",
    "mixed",
    "save",
    "save_all",
    "stream_seed",
    "switch",
]

PUBLIC = (
    "attach",
    "axis",
    "checkpoint_files",
    "compatibility",
    "experts",
    "full",
    "fused",
    "layers",
    "orientation",
    "overlay",
    "peft_format",
    "slot",
    "whole",
)
"""Modules that other rooms import."""
