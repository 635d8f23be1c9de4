"""Training as a student would write it: no sorting, no shortcuts, one example at a time, stock logits.

The fast loop (train.py) must give the same losses and weights; a test holds them equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rankwise.data import Encoded
from rankwise.engine.batches import window
from rankwise.engine.spec import TrainSpec
from rankwise.engine.train import make_optimizer, make_schedule


def example_nll(model: Any, example: Encoded) -> Tensor:
    """Return the summed negative log-likelihood of one example's targets, a scalar."""
    ids = torch.tensor([example.input_ids])
    logits = model(input_ids=ids).logits[0]  # (T, V); position t predicts token t + 1
    wide = torch.promote_types(logits.dtype, torch.float32)
    log_probabilities = torch.log_softmax(logits.to(wide), dim=-1)
    total = log_probabilities.new_zeros(())
    for t in range(1, len(example.input_ids)):
        if example.target_mask[t]:
            total = total - log_probabilities[t - 1, example.input_ids[t]]
    return total


def reference_train(
    model: Any, parameters: dict[str, torch.nn.Parameter], spec: TrainSpec, train: Sequence[Encoded]
) -> list[float]:
    """Train ``parameters`` in place and return the loss of every step."""
    optimizer = make_optimizer(parameters, spec)
    scheduler = make_schedule(optimizer, spec)
    losses = []
    for step in range(spec.steps):
        examples = [train[i] for i in window(spec, len(train), step)]
        targets = sum(e.targets for e in examples)
        loss = torch.stack([example_nll(model, e) for e in examples]).sum() / targets
        loss.backward()
        if spec.clip:
            torch.nn.utils.clip_grad_norm_(list(parameters.values()), spec.clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses
