"""One strategy on one order of tasks with one seed, and how far it came."""

from __future__ import annotations

from dataclasses import dataclass, field

from rankwise.continual.metrics import Matrix
from rankwise.continual.router import Region
from rankwise.continual.scoring import TaskScore
from rankwise.continual.strategies import Strategy
from rankwise.engine import RunResult, State


@dataclass(eq=False)
class Chain:
    """One strategy on one order with one seed, and how far it came.

    Attributes:
        states: what each learned task ended with, by task id, in the order learned.
        rows: of R; row 0 is the base.
        oracle: rows with the right adapter told, for strategies behind a router.
        keys: of the runs in the ledger.
        bytes: estimated peak of memory over the runs, the base included.
        regions: where the learned tasks' examples are, for strategies behind a router.
        errors: relative error of each cut to the rank budget.
        fault: why it went no further; the other chains go on without it.
    """

    label: str
    strategy: Strategy
    number: int
    order: tuple[str, ...]
    seed: int
    states: dict[str, State] = field(default_factory=dict)
    results: list[RunResult] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    bytes: int = 0
    regions: dict[str, Region] = field(default_factory=dict)
    rows: list[dict[str, TaskScore]] = field(default_factory=list)
    oracle: list[dict[str, TaskScore]] = field(default_factory=list)
    routes: list[dict[str, list[str | None]]] = field(default_factory=list)
    errors: list[float | None] = field(default_factory=list)
    fault: str | None = None

    @property
    def name(self) -> str:
        """Its name in tables and messages."""
        return f"{self.label}, order {self.number + 1}, seed {self.seed}"

    @property
    def matrix(self) -> Matrix:
        """R so far."""
        return Matrix(self.order, tuple(self.rows))

    @property
    def last(self) -> State | None:
        """What the task before ended with."""
        return self.states[self.order[len(self.states) - 1]] if self.states else None
