"""Trains adapters over one frozen base: batches, loss, optimizer, checkpoints."""

from rankwise.engine.checkpoint.file import CHECKPOINT, checkpoint_step
from rankwise.engine.checkpoint.state import State
from rankwise.engine.evaluation.evaluate import Score, evaluate
from rankwise.engine.evaluation.exact_match import Quiz, make_quiz
from rankwise.engine.evaluation.generate import greedy, prompt_of
from rankwise.engine.forward import Forward
from rankwise.engine.pack.job import PackJob
from rankwise.engine.result import RunResult
from rankwise.engine.spec import TrainSpec
from rankwise.engine.train import train, train_job, train_pack
from rankwise.engine.trainees import AdapterTrainee, FullTrainee, Trainee
from rankwise.engine.watch import Watch

__all__ = [
    "CHECKPOINT",
    "AdapterTrainee",
    "Forward",
    "FullTrainee",
    "PackJob",
    "Quiz",
    "RunResult",
    "Score",
    "State",
    "TrainSpec",
    "Trainee",
    "Watch",
    "checkpoint_step",
    "evaluate",
    "greedy",
    "make_quiz",
    "prompt_of",
    "train",
    "train_job",
    "train_pack",
]

PUBLIC = (
    "batches",
    "evaluation.exact_match",
    "evaluation.generate",
    "evaluation.logits",
    "evaluation.patience",
    "evaluation.scoring",
    "events.driver",
    "events.summary",
    "events.view",
    "fast.attention",
    "optim",
    "pack.sharing",
    "run",
    "train",
    "trainees",
)
"""Modules that other rooms import."""
