"""One accumulation window in progress: its passes, its denominator, and what it takes to begin it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from rankwise.cost import Workload
from rankwise.data import Encoded
from rankwise.engine.batches import passes, window, workload
from rankwise.engine.spec import TrainSpec


@dataclass
class Window:
    """The examples of one optimizer step; cut from the run's own spec alone, whatever runs beside it.

    Attributes:
        passes: indices into the training split, pass by pass.
        examples: how many there are.
        denominator: target tokens in all of them.
        stream: state of the dropout stream when the window was opened.
        closed: passes done.
        nll: their summed negative log-likelihood.
        penalties: weighted penalties of this step, by name.
        memory: of the events, when they acted as the window was opened: its tensors and its JSON part.
        losses: per target, by index of the example; kept for events that read them.
    """

    passes: list[list[int]]
    examples: int
    denominator: int
    work: Workload
    stream: Tensor | None
    closed: int = 0
    nll: float = 0.0
    penalties: dict[str, float] = field(default_factory=dict)
    memory: tuple[dict[str, Tensor], list[dict[str, Any]]] | None = None
    losses: dict[int, float] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """All passes are done."""
        return self.closed == len(self.passes)


def open_window(spec: TrainSpec, train: Sequence[Encoded], step: int, stream: Tensor | None) -> Window:
    """Return the window of optimizer step ``step`` (0-based)."""
    indices = window(spec, len(train), step)
    examples = [train[i] for i in indices]
    return Window(
        passes=passes(spec, train, indices),
        examples=len(examples),
        denominator=sum(e.targets for e in examples),
        work=workload(examples, spec.target.training_pass.attention),
        stream=stream,
    )
