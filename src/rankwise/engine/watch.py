"""Looking at a run from inside: what measurements get to see of every step."""

from __future__ import annotations

from collections.abc import Callable

from rankwise.engine.trainees import Trainee


class Watch:
    """Called around every optimizer step of one run; it reads and must change nothing. Override what you need.

    Dropout is off while it looks. Other runs may sit on the same base: to compute with this one alone, use
    :func:`rankwise.engine.evaluation.scoring.score` or ``trainee.forward.only(trainee.name)``. A resumed run shows
    only the steps it still trains, and a step whose loss or gradient is not finite is not shown.
    """

    def gradients(self, step: int, trainee: Trainee) -> None:
        """Read the gradients of step ``step`` (0-based) before clipping; the weights are those the step starts from."""

    def weights(self, step: int, trainee: Trainee) -> None:
        """Read the weights after ``step`` steps, as the next step starts from them."""


def look(see: Callable[[int, Trainee], None], step: int, trainee: Trainee) -> None:
    """Let ``see``, a method of a watch, look at a run in training: its passes draw from no dropout stream."""
    trainee.training(False)
    try:
        see(step, trainee)
    finally:
        trainee.training(True)
