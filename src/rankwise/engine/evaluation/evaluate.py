"""Held-out negative log-likelihood, kept per example: sums of NLL and numbers of targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rankwise.adapters.fused import held_factors
from rankwise.data import Encoded
from rankwise.engine.batches import collate, evaluation_passes
from rankwise.engine.forward import Forward


@dataclass(frozen=True)
class Score:
    """NLL sums and target counts of a split, one entry per example, in the split's order."""

    nll: tuple[float, ...]
    targets: tuple[int, ...]

    @property
    def mean(self) -> float:
        """NLL per target token: the ratio of the sums."""
        return sum(self.nll) / sum(self.targets)


def evaluate(forward: Forward, examples: Sequence[Encoded]) -> Score:
    """Score a split. The passes depend on the split alone, so every run is scored in the same way."""
    device = next(forward.model.parameters()).device
    nll = [0.0] * len(examples)
    with torch.no_grad(), held_factors():
        for indices in evaluation_passes(examples):
            batch = collate([examples[i] for i in indices], device)
            parts = forward.nll(batch).double().split(batch.counts)
            for i, part in zip(indices, parts, strict=True):
                nll[i] = float(part.sum())
    return Score(tuple(nll), tuple(e.targets for e in examples))
