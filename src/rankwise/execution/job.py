"""A run to have: what trains, on which data, from where, how far, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rankwise.data import Splits
from rankwise.engine import Quiz, State, TrainSpec


@dataclass(frozen=True, eq=False)
class Job:
    """One run to have. It holds values only, so that it can be written down and trained elsewhere.

    Attributes:
        label: as people read it.
        spec: what decides the training.
        splits: its data.
        identity: what decides the run's numbers besides the base and the data, as JSON values; its hash is the run's
            key in the ledger.
        start: the state it begins from; None: the spec's own start.
        until: pause after this evaluation step; None: train to the end.
        test: score the test split at the end.
        quiz: questions to answer at the end.
        spectrum: measure the ranks of the total update at the end.
        keep_adapter: write the best adapter (or model), as ``adapter/`` in the run's folder.
        keep_state: write the state it ends with, from which a later job may start.
        last: what counts is the last step, not the best one on the selection split.
        narrate: tell what its events do while it trains.
    """

    label: str
    spec: TrainSpec
    splits: Splits
    identity: Mapping[str, Any]
    start: State | None = None
    until: int | None = None
    test: bool = False
    quiz: Quiz | None = None
    spectrum: bool = False
    keep_adapter: bool = False
    keep_state: bool = False
    last: bool = False
    narrate: bool = False

    @property
    def steps(self) -> int:
        """How many steps it will have trained."""
        return self.until or self.spec.steps


def last_step_job(
    label: str,
    spec: TrainSpec,
    splits: Splits,
    dtype: str,
    *,
    start: State | None = None,
    test: bool = False,
    keep: bool = False,
) -> Job:
    """Return a run of which the last step counts, not the best one: of a stream, or of a study of events.

    Args:
        dtype: of the base.
        start: what it begins from; None: the spec's own start.
        test: score the test split at the end.
        keep: write the state it ends with.
    """
    identity: dict[str, Any] = {**spec.to_dict(), "test": test, "keep": keep, "dtype": dtype}
    if start is not None:
        identity |= {"start": start.sha256, "memory": list(start.record)}
    return Job(label, spec, splits, identity, start=start, test=test, keep_state=keep, last=True, narrate=True)
