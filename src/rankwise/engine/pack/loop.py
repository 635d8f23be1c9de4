"""Trains many runs over one frozen base in shared passes; every run gives the bits it gives alone.

In each round the next pass of every active run goes into one forward and one backward; a run whose window closed
steps, and is scored, checkpointed or finished where its own spec says so. Runs join and leave at any round: a pack
only schedules what each run's spec has fixed already. Unusual here:
- one run is a pack of one: there is no second loop (:func:`rankwise.engine.train`);
- what cannot share a pass (``sharing.py``) waits for an empty pack and trains alone;
- a fault is traced to its run by trying the runs of the round one by one, and ends that run only;
- out of memory halves the number of runs in a pass. Both begin the open windows again, so no bit changes;
- a signal that asks to stop is obeyed between two passes, when every run is written as it stands.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Sequence

import torch

from rankwise.adapters.fused import held_factors
from rankwise.data import Encoded, Splits
from rankwise.engine.checkpoint.run import resume_run, save_run
from rankwise.engine.evaluation.evaluate import Score
from rankwise.engine.evaluation.scoring import score
from rankwise.engine.forward import Forward
from rankwise.engine.pack.job import PackJob
from rankwise.engine.pack.member import Seat, attempted
from rankwise.engine.pack.memory import out_of_memory
from rankwise.engine.pack.stopping import StoppedError, Stopping
from rankwise.engine.result import RunResult
from rankwise.engine.run import Run
from rankwise.models import Base, write_form


class Pack:
    """The loop; :func:`rankwise.engine.train_pack` makes one.

    Args:
        raise_faults: raise the first fault instead of recording it.
    """

    def __init__(
        self,
        base: Base,
        splits: Splits,
        forward: Forward,
        width: int | None,
        budget: int | None,
        checkpoint_seconds: float,
        *,
        raise_faults: bool = False,
    ) -> None:
        self.base, self.splits, self.forward = base, splits, forward
        self.width, self.budget, self.checkpoint_seconds = width, budget, checkpoint_seconds
        self.raise_faults = raise_faults
        self.together: int | None = None  # most runs in one pass, after memory ran out
        self.seats: list[Seat] = []
        self.jobs: Sequence[PackJob] = ()
        self.results: dict[int, RunResult] = {}
        self.held = contextlib.ExitStack()  # factors are cast once between two optimizer steps, not once a pass
        self.holding = False
        self.stopping = Stopping()

    def run(self, jobs: Sequence[PackJob]) -> list[RunResult]:
        """Train all jobs."""
        self.jobs, waiting = jobs, deque(enumerate(jobs))
        with self.stopping:
            try:
                while waiting or self.seats:
                    self._admit(waiting)
                    self._round()
                    if not any(seat.must_close_window for seat in self.seats):
                        self.stopping.check()
            except StoppedError:
                self._keep()
                raise
            finally:
                self._release()
                for seat in self.seats:
                    seat.run.close()
        return [self.results[i] for i in range(len(jobs))]

    def _keep(self) -> None:
        """Write every run's checkpoint, its open window undone; one set back to its best step was written before."""
        for seat in self.seats:
            if seat.checkpoint and seat.run.step and not seat.restored:
                seat.run.rewind()
                save_run(seat.run, seat.checkpoint)

    def _admit(self, waiting: deque[tuple[int, PackJob]]) -> None:
        while waiting and self._has_room(waiting[0][1]):
            index, job = waiting.popleft()
            try:
                self._join(index, job)
            except Exception as error:
                if not (self.seats and out_of_memory(error)):
                    self._fault(index, error)
                    continue
                waiting.appendleft((index, job))  # it waits until others have left
                self.width = len(self.seats)

    def _has_room(self, job: PackJob) -> bool:
        if not self.seats:
            return True
        if not all(job.shares(seat.job) for seat in self.seats):
            return False
        if self.width is not None and len(self.seats) >= self.width:
            return False
        return self.budget is None or job.bytes + sum(seat.job.bytes for seat in self.seats) <= self.budget

    def _join(self, index: int, job: PackJob) -> None:
        wanted = job.test or any(asked is not None for asked in (job.quiz, job.save_to, job.state_to))
        name = f"run{index}"
        run = Run(
            self.base,
            self.forward,
            job.spec,
            self.splits,
            name=name,
            keep_best=wanted and not job.keep_last,
            observe=job.observe,
            trainee=job.trainee,
            watch=job.watch,
            start=job.start,
        )
        seat = Seat(index, job, run, time.monotonic())
        try:
            if seat.checkpoint:
                resume_run(run, seat.checkpoint)
        except BaseException:
            run.close()
            raise
        self.seats.append(seat)

    def _round(self) -> None:
        """One pass of every run, and what follows from it."""
        self._evaluate()  # a run may have been stopped between its step and its score
        self._each([s for s in self.seats if s.run.step < s.last], self._pass)
        for seat in [s for s in self.seats if s.run.window_complete]:
            self._guarded(seat, self._step)
        self._evaluate()
        self._finish([s for s in self.seats if s.run.step >= s.last and s.run.window is None])

    def _evaluate(self) -> None:
        due = [s for s in self.seats if s.run.window is None and s.run.step in s.job.spec.eval_steps]
        self._score([s for s in due if not s.scored], self.splits.selection, self._scored)

    def _pass(self, seats: list[Seat]) -> None:
        """The next pass of every one of ``seats``: one forward, one backward."""
        if not self.holding:
            self.held.enter_context(held_factors())
            self.holding = True
        parts = [(seat.run.trainee.name, seat.run.next_batch()) for seat in seats]
        alone = seats[0].run if len(seats) == 1 else None
        found = [alone.losses_of(parts[0][1])] if alone else seats[0].run.trainee.forward.nll_many(parts)
        totals = [nll.sum() for nll in found]
        shares = [seat.run.share(total) for seat, total in zip(seats, totals, strict=True)]
        torch.autograd.backward(shares)
        for seat, nll, total in zip(seats, found, totals, strict=True):
            if seat.run.reads_losses:
                seat.run.shown.note(nll)
            if seat.run.passed(float(total.detach())):
                self._release()

    def _release(self) -> None:
        """Factors are about to change."""
        self.held.close()
        self.holding = False

    def _step(self, seat: Seat) -> None:
        self._release()
        loss = seat.run.close_window()
        if math.isfinite(loss):
            last = {name: values[-1] for name, values in seat.run.result.penalties.items()}
            seat.run.tell({"step": seat.run.step, "loss": loss, **({"penalties": last} if last else {})})
        else:
            self._diverged(seat, "the training loss")

    def _scored(self, seat: Seat, found: Score) -> None:
        run = seat.run
        nll = run.scored(found)
        if not math.isfinite(nll):
            self._diverged(seat, "the selection score")
            return
        run.tell({"step": run.step, "selection_nll": nll})
        pausing = run.step == seat.job.until
        late = time.monotonic() - seat.written >= self.checkpoint_seconds
        if seat.checkpoint and (pausing or late):
            save_run(run, seat.checkpoint)
            seat.written = time.monotonic()

    def _diverged(self, seat: Seat, what: str) -> None:
        seat.run.diverge(what)
        seat.run.count()
        self._leave(seat, seat.run.result)

    def _finish(self, seats: list[Seat]) -> None:
        """Pause, or score the test split at the last and at the best step, save, and leave."""
        for seat in [s for s in seats if s.run.step < s.run.spec.steps]:
            self._leave(seat, seat.run.paused())
        ending = [s for s in seats if s in self.seats]
        for seat in [s for s in ending if s.job.spectrum]:
            self._guarded(seat, lambda seat: seat.run.measure())
        ending = [s for s in ending if s in self.seats]
        self._score([s for s in ending if s.job.test], self.splits.test, Seat.take_final)
        ending = [s for s in ending if s in self.seats]
        back = [s for s in ending if s.run.best and s.run.result.best_step != s.run.step]
        for seat in back:
            seat.restored = True
            seat.run.trainee.restore(seat.run.best)
        self._score([s for s in back if s.job.test], self.splits.test, Seat.take_test)
        for seat in [s for s in ending if s in self.seats]:
            self.stopping.check()
            self._guarded(seat, self._end)

    def _end(self, seat: Seat) -> None:
        seat.run.count()
        if seat.job.quiz is not None:
            seat.run.answer(seat.job.quiz)
        if seat.job.state_to is not None:
            seat.run.state().write(seat.job.state_to)
        if seat.job.save_to is not None:
            seat.run.trainee.save(seat.job.save_to, self.base)
            write_form(seat.job.save_to, self.splits.form)
        self._leave(seat, seat.run.result)

    def _score(self, seats: list[Seat], examples: Sequence[Encoded], take: Callable[[Seat, Score], None]) -> None:
        """Score ``examples`` for all ``seats`` in shared passes and hand each its own."""
        found: dict[Seat, Score] = {}

        def together(some: list[Seat]) -> None:
            trainees = [s.run.trainee for s in some]
            scores = score(some[0].run.trainee.forward, trainees, examples, between=self.stopping.check)
            found.update(zip(some, scores, strict=True))

        self._each(seats, together)
        for seat, one in found.items():
            self._guarded(seat, lambda seat, one=one: take(seat, one))  # type: ignore[misc]

    def _each(self, seats: list[Seat], work: Callable[[list[Seat]], None]) -> None:
        """Do ``work`` for all of ``seats`` in as few goes as memory allows; a fault ends the run it belongs to."""
        size = min(len(seats), self.together or len(seats))
        for some in [seats[i : i + size] for i in range(0, len(seats), size)] if seats else []:
            self._attempt(some, work)

    def _attempt(self, seats: list[Seat], work: Callable[[list[Seat]], None]) -> None:
        if (fault := attempted(seats, work)) is None:
            return
        if len(seats) == 1:
            self._fault(seats[0].index, fault, seats[0])
            return
        for seat in seats:
            seat.run.rewind()
        half = len(seats) // 2
        parts = [seats[:half], seats[half:]]
        if out_of_memory(fault):
            self.together = half
        else:  # whose fault is it? Those without one must not be held up by another's.
            parts = [[seat] for seat in seats]
        del fault  # its traceback holds the tensors of the attempt
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        for part in parts:
            self._attempt(part, work)

    def _guarded(self, seat: Seat, work: Callable[[Seat], None]) -> None:
        try:
            work(seat)
        except Exception as error:
            self._fault(seat.index, error, seat)

    def _fault(self, index: int, error: Exception, seat: Seat | None = None) -> None:
        if self.raise_faults or isinstance(error, OSError):
            raise error
        reason = " ".join(str(error).split()) or type(error).__name__
        result = seat.run.result if seat else RunResult()
        result.status, result.reason = "failed", reason
        if seat:
            self._leave(seat, result)
        else:
            self._put(index, result)

    def _leave(self, seat: Seat, result: RunResult) -> None:
        self.seats.remove(seat)
        seat.run.close()
        self._put(seat.index, result)

    def _put(self, index: int, result: RunResult) -> None:
        self.results[index] = result
        if (tell := self.jobs[index].ended) is not None:
            tell(result)
