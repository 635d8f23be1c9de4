"""What to type after ``rankwise train``: the same scores beside the untouched model, or the run again, less fast."""

from __future__ import annotations

import shlex
from pathlib import Path

from rankwise.adapters import Adapter, Full
from rankwise.cli.options import command
from rankwise.data.columns import spelled
from rankwise.studies.config import StudyConfig

SLOWER = 3  # a diverged run is proposed again at this fraction of its learning rate


def evaluation(config: StudyConfig, target: Adapter | Full, folder: Path) -> str:
    """Return the command that scores what was trained on the very examples it was tested on."""
    adapter = isinstance(target, Adapter)
    return command(
        "eval",
        *([folder] if adapter else []),
        model=None if adapter else folder,
        data=config.data,
        columns=spelled(config.columns) if config.columns else None,
        examples=config.sizes.test,
        max_length=config.max_length,
        seed=config.seed or None,
    )


def slower(typed: str, rate: float, folder: Path) -> str:
    """Return the command that was typed, at a lower learning rate and in a folder of its own.

    Args:
        typed: the command line.
        rate: at which the run diverged.
        folder: where it is; another rate is another run and needs another one.
    """
    lower = f"{rate / SLOWER:.0e}"
    kept = _without(shlex.split(typed), {"--lr", "--out"})
    return shlex.join([*kept, "--lr", lower, "--out", f"{folder}-lr-{lower}"])


def _without(words: list[str], options: set[str]) -> list[str]:
    """Leave out options with their values, in both spellings: ``--lr 1`` and ``--lr=1``."""
    kept: list[str] = []
    following = iter(words)
    for word in following:
        if word in options:
            next(following, None)
        elif word.partition("=")[0] not in options:
            kept.append(word)
    return kept
