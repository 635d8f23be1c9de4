"""Trains adapters over one frozen base: batches, loss, optimizer, checkpoints."""

from rankwise.engine.checkpoint import CHECKPOINT, checkpoint_step
from rankwise.engine.evaluate import Score, evaluate
from rankwise.engine.forward import Forward
from rankwise.engine.spec import TrainSpec
from rankwise.engine.train import RunResult, train
from rankwise.engine.trainees import AdapterTrainee, FullTrainee, Trainee
from rankwise.engine.watch import Watch

__all__ = [
    "CHECKPOINT",
    "AdapterTrainee",
    "Forward",
    "FullTrainee",
    "RunResult",
    "Score",
    "TrainSpec",
    "Trainee",
    "Watch",
    "checkpoint_step",
    "evaluate",
    "train",
]
