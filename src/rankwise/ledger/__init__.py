"""The record of a study: one folder, one writer, nothing lost. Knows nothing of LoRA or torch."""

from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.keys import canonical, run_key
from rankwise.ledger.lock import StudyLock
from rankwise.ledger.metrics import MetricsLog
from rankwise.ledger.store import Ledger, Run

__all__ = ["Ledger", "MetricsLog", "Run", "StudyFolder", "StudyLock", "canonical", "run_key"]

PUBLIC = (
    "differences",
    "export",
    "folder",
    "keys",
    "lock",
    "metrics",
    "store",
)
"""Modules that other rooms import."""
