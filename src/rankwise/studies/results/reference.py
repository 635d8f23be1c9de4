"""Which reference a machine can train: full fine-tuning, or the highest rank where it does not fit."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rankwise.adapters import Full
from rankwise.cost import Plan, blueprint, estimate


@dataclass(frozen=True)
class Choice:
    """The reference chosen, and why in one sentence."""

    reference: str
    why: str


def available_memory() -> int:
    """Return bytes of memory: the accelerator's when there is one, else the machine's."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def choose_reference(model: str, dtype: str, batch: int, length: int, *, memory: int | None = None) -> Choice:
    """Return ``full`` when full fine-tuning of ``model`` fits in memory by our estimate, else ``best-rank``.

    Raises:
        UsageError: an unknown model.
    """
    import torch

    have = available_memory() if memory is None else memory
    plan = Plan(batch=batch, length=length, targets=max(1, length // 2))
    need = estimate(blueprint(model, dtype=getattr(torch, dtype)), Full(), plan).full.memory_bytes
    if need <= have:
        return Choice("full", f"full fine-tuning needs about {_gigabytes(need)}, and there is {_gigabytes(have)}")
    why = f"full fine-tuning needs about {_gigabytes(need)}, you have {_gigabytes(have)}: the highest rank stands in"
    return Choice("best-rank", why)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.0f} GB" if count >= 1e10 else f"{count / 1e9:.1f} GB"
