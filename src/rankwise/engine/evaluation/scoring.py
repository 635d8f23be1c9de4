"""Scores of one or many runs on one split: every batch is prepared once and shared; dropout is off."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rankwise.adapters.fused import held_factors
from rankwise.data import Encoded
from rankwise.engine.batches import EVAL_TOKENS, collate, evaluation_passes
from rankwise.engine.evaluation.evaluate import Score
from rankwise.engine.forward import Forward
from rankwise.engine.trainees import Trainee


def score(
    forward: Forward,
    trainees: Sequence[Trainee],
    examples: Sequence[Encoded],
    between: Callable[[], None] = lambda: None,
) -> list[Score]:
    """Score ``examples`` with every trainee; all of them run on the model of ``forward``.

    The passes depend on the split alone, so every run is scored in the same way, alone or beside others. Short passes
    are shared between runs as far as the tokens of one long pass go, which bounds memory; a run's bits are its own.

    Args:
        between: called before every pass; it may raise to end the scoring.
    """
    device = next(forward.model.parameters()).device
    nll = [[0.0] * len(examples) for _ in trainees]
    for trainee in trainees:
        trainee.training(False)
    try:
        with torch.no_grad(), held_factors():
            for indices in evaluation_passes(examples):
                batch = collate([examples[i] for i in indices], device)
                found: list[Tensor] = []
                width = max(1, EVAL_TOKENS // batch.ids.numel())
                for first in range(0, len(trainees), width):
                    between()
                    found += forward.nll_many([(t.name, batch) for t in trainees[first : first + width]])
                for own, losses in zip(nll, found, strict=True):
                    for i, part in zip(indices, losses.double().split(batch.counts), strict=True):
                        own[i] = float(part.sum())
    finally:
        for trainee in trainees:
            trainee.training(True)
    targets = tuple(e.targets for e in examples)
    return [Score(tuple(own), targets) for own in nll]
