"""Full fine-tuning: every weight trains, on a private copy. The reference that adapters are held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rankwise.adapters.training_pass import TrainingPass


@dataclass(frozen=True)
class Full:
    """Train all parameters: compute in the base's dtype, fp32 master weights and Adam state.

    bf16-only full fine-tuning is a handicapped reference (most small steps round away), so it is not offered.
    """

    events: ClassVar[tuple[()]] = ()
    training_pass: ClassVar[TrainingPass] = TrainingPass()
    """A pass as the model has it."""

    def to_dict(self) -> dict[str, Any]:
        """Return the serialized form."""
        return {"method": "full"}

    def __repr__(self) -> str:
        return "W trains (fp32 master)"
