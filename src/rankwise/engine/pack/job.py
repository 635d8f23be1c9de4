"""One run as a pack takes it: what to train, how far, and where things go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rankwise.engine.checkpoint.state import State
from rankwise.engine.evaluation.exact_match import Quiz
from rankwise.engine.pack.sharing import alone, shares
from rankwise.engine.result import RunResult
from rankwise.engine.run import Observer
from rankwise.engine.spec import TrainSpec
from rankwise.engine.trainees import AdapterTrainee, Trainee
from rankwise.engine.watch import Watch
from rankwise.errors import UsageError


@dataclass(frozen=True)
class PackJob:
    """One run of a pack.

    Args:
        spec: the run.
        folder: where its checkpoint lives; with one, a killed run continues and ends with the same bits.
        save_to: folder for the best adapter (PEFT layout) or, for full fine-tuning, the model.
        start: begin from this state instead of the spec's own start.
        state_to: file for the state at the end (of the best step, or the last), from which a later run may begin.
        keep_last: what the run leaves behind is its last step, not its best on selection.
        test: score the test split at the end.
        quiz: questions to answer with the best checkpoint.
        spectrum: measure the ranks of the total update at the last step.
        until: stop after this step, which must be an evaluation step, with a checkpoint; status "paused". A later
            call goes on from there with the bits of an undisturbed run.
        observe: called with ``{"step", "loss"}`` after every step (``"penalties"`` too, where there are any),
            ``{"step", "selection_nll"}`` after every evaluation, ``{"event": "resumed", "step"}`` after a resume,
            ``{"event": "restarted", "step": 0, "reason"}`` when its checkpoint was damaged and it begins again, and
            ``{"event": <name>, "step", ...}`` when an event of the adapter acted.
        ended: called with the result as soon as this run has ended, while others in the pack may go on.
        bytes: estimated memory this run adds to the base, for ``budget``.
        trainee: what trains, ready made, instead of one made from ``spec.target``, which still chooses the optimizer.
            The pack trains it from its present values and never closes it: it keeps its last (or restored best)
            weights, and the caller closes it. To resume, make the same one again.
        watch: shown the gradients and the weights of every step that is trained here; it reads, and changes no bit.

    Raises:
        UsageError: ``until`` without a folder, or not at an evaluation; a trainee of another adapter.
    """

    spec: TrainSpec
    folder: Path | None = None
    save_to: Path | None = None
    test: bool = False
    until: int | None = None
    observe: Observer | None = None
    bytes: int = 0
    quiz: Quiz | None = None
    trainee: Trainee | None = None
    watch: Watch | None = None
    spectrum: bool = False
    start: State | None = None
    state_to: Path | None = None
    keep_last: bool = False
    ended: Callable[[RunResult], None] | None = None

    def __post_init__(self) -> None:
        if self.until is not None and self.until not in self.spec.eval_steps:
            points = ", ".join(map(str, self.spec.eval_steps))
            raise UsageError(f"until must be one of the evaluation steps ({points}), found {self.until}.")
        if self.until is not None and self.folder is None:
            raise UsageError(f"until={self.until} needs a folder, where the checkpoint to go on from is kept.")
        if isinstance(self.trainee, AdapterTrainee) and self.trainee.handle.adapter != self.spec.target:
            own, wanted = self.trainee.handle.adapter, self.spec.target
            raise UsageError(f"a given trainee must have the adapter of spec.target, {wanted!r}; found {own!r}.")

    @property
    def alone(self) -> bool:
        """Whether this run cannot share a pass."""
        return alone(self.spec.target) if self.trainee is None else self.trainee.alone

    def shares(self, other: PackJob) -> bool:
        """Return whether both runs can be in one pass."""
        return not (self.alone or other.alone) and shares(self.spec.target, other.spec.target)
