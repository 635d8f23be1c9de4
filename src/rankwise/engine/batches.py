"""Which examples a step reads, in which passes: a pure function of the run's spec and the data's lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rankwise.adapters import stream_seed
from rankwise.cost import Workload
from rankwise.data import Encoded
from rankwise.engine.spec import TrainSpec
from rankwise.models.attention_pattern import WHOLE, AttentionPattern

# Longest pass of an evaluation, in padded tokens: on 2 CPU cores passes of 1,000 tokens are 10 % faster per token
# than passes of 4,000, and they bound the memory of the logits.
EVAL_TOKENS = 1024


def window(spec: TrainSpec, n: int, step: int) -> list[int]:
    """Return the indices of the examples of optimizer step ``step`` (0-based), in data order.

    Each epoch is a new permutation; the last window of an epoch is shorter when ``batch`` does not divide ``n``. An
    event that splits the data (two levels of learning) names the examples that this step may read.
    """
    for event in spec.target.events:
        if (found := event.reads(step, n, spec.seed)) is not None:
            indices, own = found
            return [indices[i] for i in _window(spec, len(indices), own)]
    return _window(spec, n, step)


def _window(spec: TrainSpec, n: int, step: int) -> list[int]:
    per_epoch = math.ceil(n / spec.batch)
    epoch, position = divmod(step, per_epoch)
    if spec.shuffle:
        stream = torch.Generator().manual_seed(stream_seed(spec.seed, "order", epoch))
        order = torch.randperm(n, generator=stream).tolist()
    else:
        order = list(range(n))
    return order[position * spec.batch : (position + 1) * spec.batch]


def passes(spec: TrainSpec, train: Sequence[Encoded], indices: list[int]) -> list[list[int]]:
    """Cut a window into length-sorted passes of at most ``micro_batch`` examples: little padding, fixed order."""
    ordered = sorted(indices, key=lambda i: len(train[i].input_ids), reverse=True)  # stable: ties keep data order
    return [ordered[i : i + spec.micro_batch] for i in range(0, len(ordered), spec.micro_batch)]


def evaluation_passes(examples: Sequence[Encoded]) -> list[list[int]]:
    """Cut a split into length-sorted passes of at most :data:`EVAL_TOKENS` padded tokens (at least one example)."""
    ordered = sorted(range(len(examples)), key=lambda i: len(examples[i].input_ids), reverse=True)
    cut: list[list[int]] = []
    for i in ordered:
        longest = len(examples[cut[-1][0]].input_ids) if cut else 0
        if cut and longest * (len(cut[-1]) + 1) <= EVAL_TOKENS:
            cut[-1].append(i)
        else:
            cut.append([i])
    return cut


def workload(examples: Sequence[Encoded], attention: AttentionPattern = WHOLE) -> Workload:
    """Count real tokens, targets and scores of a head: squared lengths, where attention is whole."""
    lengths = [len(e.input_ids) for e in examples]
    return Workload(sum(lengths), sum(e.targets for e in examples), sum(map(attention.scores, lengths)))


@dataclass(frozen=True)
class Batch:
    """One padded pass.

    Attributes:
        ids: (N, T) token ids, padded on the right with 0.
        attention_mask: (N, T) 1 for real tokens.
        rows, columns: (M,) positions whose next token is a target, example by example.
        next_ids: (M,) those next tokens.
        counts: targets per example, in the order of the rows of ``ids``; sums to M.
        lengths: real tokens per example, in the same order.
        attention: which tokens see which.
    """

    ids: Tensor
    attention_mask: Tensor
    rows: Tensor
    columns: Tensor
    next_ids: Tensor
    counts: list[int]
    lengths: list[int]
    attention: AttentionPattern = WHOLE


def collate(
    examples: Sequence[Encoded], device: torch.device | str = "cpu", attention: AttentionPattern = WHOLE
) -> Batch:
    """Pad ``examples`` on the right; targets are found by position, never by the pad id."""
    width = max(len(e.input_ids) for e in examples)
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    mask = torch.zeros(len(examples), width, dtype=torch.long)
    target = torch.zeros(len(examples), width, dtype=torch.bool)
    for row, example in enumerate(examples):
        length = len(example.input_ids)
        ids[row, :length] = torch.tensor(example.input_ids)
        mask[row, :length] = 1
        target[row, :length] = torch.tensor(example.target_mask)
    rows, at = target.nonzero(as_tuple=True)
    next_ids = ids[rows, at]
    return Batch(
        ids=ids.to(device),
        attention_mask=mask.to(device),
        rows=rows.to(device),
        columns=(at - 1).to(device),  # the position before predicts
        next_ids=next_ids.to(device),
        counts=[e.targets for e in examples],
        lengths=[len(e.input_ids) for e in examples],
        attention=attention,
    )
