"""Axis *event*: what happens during training. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.events.base import Event, Rate
from rankwise.adapters.events.boosting import Boosting
from rankwise.adapters.events.component_pruning import ComponentPruning
from rankwise.adapters.events.context import Context
from rankwise.adapters.events.delta_update import DeltaUpdate
from rankwise.adapters.events.drop_backward import DropBackward
from rankwise.adapters.events.early_mask import EarlyMask
from rankwise.adapters.events.elastic_weights import ElasticWeights
from rankwise.adapters.events.hard_concrete import HardConcrete
from rankwise.adapters.events.hidden_key import HiddenKey
from rankwise.adapters.events.input_pruning import InputPruning
from rankwise.adapters.events.merge_and_restart import MergeAndRestart
from rankwise.adapters.events.online_lora import OnlineLoRA
from rankwise.adapters.events.orthogonalize import Orthogonalize
from rankwise.adapters.events.output_selection import OutputSelection
from rankwise.adapters.events.progressive_freezing import ProgressiveFreezing
from rankwise.adapters.events.project_out import ProjectOut
from rankwise.adapters.events.rank_allocator import RankAllocator
from rankwise.adapters.events.row_sparsity import RowSparsity
from rankwise.adapters.events.sample_rank import SampleRank
from rankwise.adapters.events.shifted_attention import ShiftedAttention
from rankwise.adapters.events.soft_threshold import SoftThreshold
from rankwise.adapters.events.two_levels import TwoLevels

EVENTS = register(
    MergeAndRestart,
    RankAllocator,
    Boosting,
    DeltaUpdate,
    SampleRank,
    InputPruning,
    SoftThreshold,
    RowSparsity,
    EarlyMask,
    OutputSelection,
    ComponentPruning,
    TwoLevels,
    ProgressiveFreezing,
    DropBackward,
    HiddenKey,
    ShiftedAttention,
    HardConcrete,
    ElasticWeights,
    OnlineLoRA,
    Orthogonalize,
    ProjectOut,
)

__all__ = [
    "EVENTS",
    "Boosting",
    "ComponentPruning",
    "Context",
    "DeltaUpdate",
    "DropBackward",
    "EarlyMask",
    "ElasticWeights",
    "Event",
    "HardConcrete",
    "HiddenKey",
    "InputPruning",
    "MergeAndRestart",
    "OnlineLoRA",
    "Orthogonalize",
    "OutputSelection",
    "ProgressiveFreezing",
    "ProjectOut",
    "RankAllocator",
    "Rate",
    "RowSparsity",
    "SampleRank",
    "ShiftedAttention",
    "SoftThreshold",
    "TwoLevels",
]
