"""The logits that predict the targets of a batch: for the likeliest token, which a loss alone does not tell."""

from __future__ import annotations

import torch
from torch import Tensor

from rankwise.engine.batches import Batch
from rankwise.engine.forward import Forward


def target_logits(forward: Forward, batch: Batch) -> Tensor:
    """Return the logits (M, V) of every target, float32 or wider, by a padded pass with whatever adapters act now."""
    mask = None if forward.maskless else batch.attention_mask
    if forward.targets_only:
        hidden = forward.backbone(input_ids=batch.ids, attention_mask=mask, use_cache=False).last_hidden_state
        logits = forward.head(hidden[batch.rows, batch.columns])
    else:
        logits = forward.model(input_ids=batch.ids, attention_mask=mask, use_cache=False).logits
        logits = logits[batch.rows, batch.columns]
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
