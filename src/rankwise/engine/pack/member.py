"""One job's place in a pack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rankwise.engine.checkpoint.file import CHECKPOINT
from rankwise.engine.evaluation.evaluate import Score
from rankwise.engine.pack.job import PackJob
from rankwise.engine.run import Run


@dataclass(eq=False)
class Member:
    """One job in the pack.

    Attributes:
        index: of the job among those given.
        written: when its checkpoint was last written, on the monotonic clock.
        restored: its trained values are those of its best step, not of its last.
    """

    index: int
    job: PackJob
    run: Run
    written: float
    restored: bool = False

    @property
    def checkpoint(self) -> Path | None:
        """The job's checkpoint file."""
        return self.job.folder / CHECKPOINT if self.job.folder else None

    @property
    def last(self) -> int:
        """The step this job ends at for now."""
        return self.job.until if self.job.until is not None else self.job.spec.steps

    @property
    def scored(self) -> bool:
        """Whether the selection split was scored at this step already (a run that was resumed there)."""
        curve = self.run.result.curve
        return bool(curve) and curve[-1][0] == self.run.step

    @property
    def must_close_window(self) -> bool:
        """An event may have changed the adapter inside the open window, which then cannot be begun again."""
        run = self.run
        return run.window is not None and bool(run.events and run.events.act_inside_windows)

    def take_final(self, found: Score) -> None:
        """Keep the test score of the last weights."""
        self.run.result.test = self.run.result.test_final = found

    def take_test(self, found: Score) -> None:
        """Keep the test score of the best weights."""
        self.run.result.test = found


def attempted(members: list[Member], work: Callable[[list[Member]], None]) -> Exception | None:
    """Do ``work`` for ``members`` together; return what went wrong."""
    try:
        work(members)
    except Exception as error:
        return error
    return None
