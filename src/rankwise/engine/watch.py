"""Looking at a run from inside: what measurements get to see of every step."""

from __future__ import annotations

from rankwise.engine.trainees import Trainee


class Watch:
    """Called by :func:`train` around every optimizer step; it reads and must change nothing. Override what you need."""

    def gradients(self, step: int, trainee: Trainee) -> None:
        """Read the gradients of step ``step`` (0-based) before clipping; the weights are those the step starts from."""

    def weights(self, step: int, trainee: Trainee) -> None:
        """Read the weights after ``step`` steps."""
