"""A small Llama that has read something: what the calibration fine-tunes where no MODEL is given."""

from __future__ import annotations

from pathlib import Path

import torch

from rankwise.adapters import Full
from rankwise.data import Limits, load_data
from rankwise.engine import TrainSpec, train
from rankwise.models import Base, load_base

DATA, STEPS, BATCH, LR = "word-problems:en", 600, 16, 3e-3


def pretrained(folder: Path, steps: int = STEPS) -> Path:
    """Train rankwise's tiny Llama (bytes, 2 layers of width 64) on our own word problems; return its folder.

    About a minute on one core; a folder that holds the model already is returned as it is.
    """
    if not (folder / "config.json").exists():
        base: Base = load_base("tiny", dtype=torch.float32)
        splits = load_data(DATA, base.tokenizer, seed=99, limits=Limits(2000, 16, 16), max_length=256)
        train(base, TrainSpec(Full(), LR, steps, BATCH, BATCH, schedule="cosine", seed=99), splits, save_to=folder)
    return folder
