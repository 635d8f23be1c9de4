"""Axis *event*: what happens during training. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.events.base import Context, Event
from rankwise.adapters.events.elastic_weights import ElasticWeights
from rankwise.adapters.events.merge_and_restart import MergeAndRestart
from rankwise.adapters.events.online_lora import OnlineLoRA
from rankwise.adapters.events.orthogonalize import Orthogonalize
from rankwise.adapters.events.project_out import ProjectOut

EVENTS = register(MergeAndRestart, Orthogonalize, ProjectOut, OnlineLoRA, ElasticWeights)

__all__ = [
    "EVENTS",
    "Context",
    "ElasticWeights",
    "Event",
    "MergeAndRestart",
    "OnlineLoRA",
    "Orthogonalize",
    "ProjectOut",
]
