"""The batches that a data-driven init looks at: the first examples in the run's own order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from rankwise.data import Encoded
from rankwise.engine.batches import collate, passes, window
from rankwise.engine.spec import TrainSpec

EXAMPLES = 256  # as many as CorDA's authors collect


def sample(spec: TrainSpec, train: Sequence[Encoded], device: torch.device) -> Iterator[dict[str, Any]]:
    """Yield keyword arguments of the model, labels included: at most one epoch, about :data:`EXAMPLES` examples."""
    seen = step = 0
    while seen < min(EXAMPLES, len(train)):
        indices = window(spec, len(train), step)
        for part in passes(spec, train, indices):
            batch = collate([train[i] for i in part], device)
            labels = torch.full_like(batch.ids, -100)
            labels[batch.rows, batch.columns + 1] = batch.next_ids
            yield {"input_ids": batch.ids, "attention_mask": batch.attention_mask, "labels": labels}
        seen, step = seen + len(indices), step + 1
