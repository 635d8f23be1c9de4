"""Loads what a configuration names: the base and the three splits."""

from __future__ import annotations

from rankwise.adapters import Adapter, check, orientation
from rankwise.data import Limits, Splits, load_data
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.models import Base, fitted, load_base
from rankwise.studies.config import StudyConfig
from rankwise.studies.running.device import pick_device


def load_cell(config: StudyConfig, progress: Progress) -> tuple[Base, Splits]:
    """Return base and splits; notes on the data's rows go to the progress display.

    Raises:
        UsageError: no such model or data, data without a usable example, or an arm the model cannot take.
    """
    import torch

    base = load_base(config.model, dtype=getattr(torch, config.dtype), device=pick_device(), progress=progress.note)
    check_arms(config, base, progress)
    splits = load_data(
        config.data,
        base.tokenizer,
        seed=config.seed,
        limits=Limits(**config.sizes.model_dump()),
        max_length=config.max_length,
        completion_style=config.completion_style,
        system=config.system,
        columns=config.columns,
    )
    for note in splits.notes:
        progress.note(note)
    return base, fitted(base, splits, front=_front(config))


def _front(config: StudyConfig) -> int:
    """Return how many virtual tokens some arm puts in front of every row."""
    targets = [arm.target() for arm in config.arms]
    return max((target.front for target in targets if isinstance(target, Adapter)), default=0)


def check_arms(config: StudyConfig, base: Base, progress: Progress) -> None:
    """Refuse, before anything is written or trained, an arm that this model cannot take.

    A rank above a layer's smaller side is allowed where the init does not need it, with one note.

    Raises:
        UsageError: naming the arm and what does not fit.
    """
    for arm in config.arms:
        target = arm.target()
        if isinstance(target, Adapter):
            try:
                modules = check(base.model, target)
            except UsageError as error:
                raise UsageError(f"arm {arm.name}: {error}") from None
            wide = [name for name, module in modules.items() if target.rank > min(orientation.shape(module))]
            if wide:
                d_out, d_in = orientation.shape(modules[wide[0]])
                where = f"{len(wide)} layers (first {wide[0]}, {d_out} x {d_in})"
                progress.note(f"{arm.label}: rank {target.rank} is above the smaller side of {where}; allowed, no gain")
