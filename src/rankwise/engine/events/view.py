"""What events may look at beyond their adapter: all of it in our own loop, a part of it under transformers' Trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from rankwise.engine.private import PrivateBase


class Examples(Protocol):
    """What events may ask about the training data; see :class:`Context`."""

    @property
    def training_examples(self) -> int:
        """How many there are."""

    def losses(self) -> Mapping[int, float]:
        """Losses of this step's examples."""

    def curvature(self, examples: Sequence[int], *, own_labels: bool) -> dict[str, dict[str, Tensor]]:
        """Summed squared gradients."""


@dataclass(frozen=True)
class View:
    """What events may look at beyond their adapter; each is None where the loop at hand cannot show it.

    Attributes:
        probe: gives the loss on a fixed batch.
        selection: gives the NLL of the selection split.
        replay: runs the model on the examples of the last step, without gradients.
        gradients: gives the gradients of the examples of the last step by trained tensor, None where there is none.
        private: the run's own weights, for events that own the base.
        examples: answers what events ask about the training data.
    """

    probe: Callable[[], float] | None = None
    selection: Callable[[], float] | None = None
    replay: Callable[[], None] | None = None
    gradients: Callable[[], list[tuple[nn.Parameter, Tensor | None]]] | None = None
    private: PrivateBase | None = None
    examples: Examples | None = None
