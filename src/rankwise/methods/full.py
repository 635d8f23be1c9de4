"""Full fine-tuning: every weight trains. The reference of every verdict."""

from __future__ import annotations

from rankwise.adapters import Full
from rankwise.methods.card import Card


def full() -> Full:
    """Return full fine-tuning with fp32 master weights."""
    return Full()


CARD = Card(
    name="full",
    arxiv="-",
    title="Full fine-tuning",
    axes={},
    formula="W trains",
    merges=False,
    export_rank="-",
    fidelity="float32 curves agree with TRL's SFTTrainer",
    citation="",
    build=full,
    owns_base=True,
)
