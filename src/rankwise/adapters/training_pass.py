"""What an adapter's events make of a pass of training, for everyone who runs one or counts what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from rankwise.models.attention_pattern import WHOLE, AttentionPattern


@dataclass(frozen=True)
class TrainingPass:
    """A pass over a batch in training; scoring has the model's own.

    Attributes:
        attention: which tokens see which.
        forwards: forward and backward passes that one pass is made of.
    """

    attention: AttentionPattern = WHOLE
    forwards: int = 1
