"""Adapters for other programs: ``export`` writes one that its target really loads, and proves it by logits."""

from rankwise.integrations.export.run import DTYPES, TARGETS, Exported, export

__all__ = ["DTYPES", "TARGETS", "Exported", "export"]
