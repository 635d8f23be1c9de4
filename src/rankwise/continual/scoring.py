"""Scores of one state on the tasks' test examples: NLL and exact match, per example, remembered in the ledger.

Exact match: greedy decoding would give exactly the reference reply and stop there. That holds when every target token
is the likeliest one given those before it, so it comes from the very pass that gives the NLL; nothing is generated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from rankwise.adapters import Adapter
from rankwise.adapters.fused import held_factors
from rankwise.continual.tasks import Loaded
from rankwise.data import Encoded
from rankwise.engine import Forward, State
from rankwise.engine.batches import collate, evaluation_passes
from rankwise.engine.evaluation.logits import target_logits
from rankwise.engine.trainees import AdapterTrainee
from rankwise.execution.executor import Executor

NAME = "scored"


@dataclass(frozen=True)
class TaskScore:
    """One state on one task: summed NLL and right or wrong, per test example."""

    nll: tuple[float, ...]
    right: tuple[bool, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"nll": list(self.nll), "right": list(self.right)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> TaskScore:
        """Build from :meth:`to_dict`'s form."""
        return cls(tuple(value["nll"]), tuple(value["right"]))


class Scorer:
    """Scores states of one kind of adapter.

    Args:
        dtype: of the base.
        adapter: what the states are states of; its events and penalties play no part.
    """

    def __init__(self, executor: Executor, dtype: str, adapter: Adapter, tasks: Mapping[str, Loaded]) -> None:
        self.executor, self.dtype, self.tasks = executor, dtype, tasks
        self.adapter = replace(adapter, events=(), penalties=())

    def scores(self, state: State | None, names: Iterable[str], label: str) -> dict[str, TaskScore]:
        """Return the scores of ``state`` (None: the untouched base) on the named tasks."""
        identity = {"scores": "base" if state is None else state.sha256, "adapter": self.adapter.to_dict()}
        identity["dtype"] = self.dtype
        found, missing = {}, []
        for name in names:
            run = self.executor.ledger.get(self.executor.key_of(identity, self.tasks[name].tested))
            if run is not None and run.result is not None:
                found[name] = TaskScore.from_dict(run.result)
            else:
                missing.append(name)
        if missing:
            made = self._score(state, missing)
            for name in missing:
                self.executor.remember(f"{label} on {name}", identity, self.tasks[name].tested, made[name].to_dict)
                found[name] = made[name]
        return found

    def _score(self, state: State | None, names: Sequence[str]) -> dict[str, TaskScore]:
        forward = self.executor.forward
        if state is None:
            return {name: measure(forward, None, self.tasks[name].test) for name in names}
        trainee = AdapterTrainee(self.executor.base.model, forward, self.adapter, 0, NAME)
        try:
            trainee.restore(dict(state.tensors))
            trainee.training(False)
            return {name: measure(forward, NAME, self.tasks[name].test) for name in names}
        finally:
            trainee.close()


def measure(forward: Forward, name: str | None, examples: Sequence[Encoded]) -> TaskScore:
    """Score ``examples`` with the adapter of that name acting alone (None: the base)."""
    device = next(forward.model.parameters()).device
    nll, right = [0.0] * len(examples), [False] * len(examples)
    with torch.no_grad(), held_factors(), forward.only(name):
        for indices in evaluation_passes(examples):
            batch = collate([examples[i] for i in indices], device)
            logits = target_logits(forward, batch)
            losses = cross_entropy(logits, batch.next_ids, reduction="none").double().split(batch.counts)
            hits = (logits.argmax(-1) == batch.next_ids).split(batch.counts)
            for i, part, hit in zip(indices, losses, hits, strict=True):
                nll[i], right[i] = float(part.sum()), bool(hit.all())
    return TaskScore(tuple(nll), tuple(right))
