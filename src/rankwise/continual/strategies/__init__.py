"""Strategies for a stream of tasks, one file per idea. A new one is a file here and its name in ``STRATEGIES``.

AM-LoRA (an attentional mixture of the tasks' adapters, arXiv 2409.19611) is left out: its selector sits in every layer
and depends on the input, so what it learns has no form as plain LoRA.
"""

from rankwise.adapters.axis import register
from rankwise.continual.strategies.base import Strategy
from rankwise.continual.strategies.clora import CLoRA
from rankwise.continual.strategies.color import CoLoR
from rankwise.continual.strategies.colora_note import ColoraNote
from rankwise.continual.strategies.olora_cl import OLoRACL
from rankwise.continual.strategies.remembering import EWC, OnlineLoRAStrategy
from rankwise.continual.strategies.simple import PerTask, Replay, Sequential
from rankwise.continual.strategies.subspaces import OverlapStrategy, Project

STRATEGIES: dict[str, type[Strategy]] = register(
    Sequential,
    PerTask,
    Replay,
    EWC,
    OLoRACL,
    OverlapStrategy,
    Project,
    CLoRA,
    ColoraNote,
    OnlineLoRAStrategy,
    CoLoR,
)

__all__ = ["STRATEGIES", "Strategy"]
