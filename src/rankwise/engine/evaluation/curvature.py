"""Squared gradients of single examples: the diagonal of the (empirical) Fisher information, example by example."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from rankwise.data import Encoded
from rankwise.engine.batches import collate
from rankwise.engine.evaluation.logits import target_logits
from rankwise.engine.trainees import AdapterTrainee


def squared_gradients(
    trainee: AdapterTrainee, examples: Sequence[Encoded], *, own_labels: bool
) -> dict[str, dict[str, Tensor]]:
    """Return, by module and factor, the sum over ``examples`` of the squared gradient of their summed NLL.

    Dropout is off; gradients that are under way are put back.

    Args:
        own_labels: the examples' own targets; False: the likeliest token at each target, given the true ones before.
    """
    slots = trainee.handle.slots
    sums = {m: {name: torch.zeros_like(p) for name, p in slot.trained.items()} for m, slot in slots.items()}
    parameters = list(trainee.parameters.values())
    under_way = [p.grad for p in parameters]
    device = parameters[0].device
    trainee.training(False)
    try:
        with torch.enable_grad():
            for example in examples:
                for p in parameters:
                    p.grad = None
                batch = collate([example], device)
                with trainee.forward.only(trainee.name):
                    logits = target_logits(trainee.forward, batch)
                    labels = batch.next_ids if own_labels else logits.detach().argmax(-1)
                    cross_entropy(logits, labels, reduction="sum").backward()
                for module, slot in slots.items():
                    for name, p in slot.trained.items():
                        if p.grad is not None:
                            sums[module][name] += p.grad.square()
    finally:
        trainee.training(True)
        for p, gradient in zip(parameters, under_way, strict=True):
            p.grad = gradient
    return sums
