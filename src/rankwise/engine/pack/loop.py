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
from rankwise.engine.pack.member import Member, attempted
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
        self.members: list[Member] = []
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
                while waiting or self.members:
                    self._admit(waiting)
                    self._round()
                    if not any(member.must_close_window for member in self.members):
                        self.stopping.check()
            except StoppedError:
                self._keep()
                raise
            finally:
                self._release()
                for member in self.members:
                    member.run.close()
        return [self.results[i] for i in range(len(jobs))]

    def _keep(self) -> None:
        """Write every run's checkpoint, its open window undone; one set back to its best step was written before."""
        for member in self.members:
            if member.checkpoint and member.run.step and not member.restored:
                member.run.rewind()
                save_run(member.run, member.checkpoint)

    def _admit(self, waiting: deque[tuple[int, PackJob]]) -> None:
        while waiting and self._has_room(waiting[0][1]):
            index, job = waiting.popleft()
            try:
                self._join(index, job)
            except Exception as error:
                if not (self.members and out_of_memory(error)):
                    self._fault(index, error)
                    continue
                waiting.appendleft((index, job))  # it waits until others have left
                self.width = len(self.members)

    def _has_room(self, job: PackJob) -> bool:
        if not self.members:
            return True
        if not all(job.shares(member.job) for member in self.members):
            return False
        if self.width is not None and len(self.members) >= self.width:
            return False
        return self.budget is None or job.bytes + sum(member.job.bytes for member in self.members) <= self.budget

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
        member = Member(index, job, run, time.monotonic())
        try:
            if member.checkpoint:
                resume_run(run, member.checkpoint)
        except BaseException:
            run.close()
            raise
        self.members.append(member)

    def _round(self) -> None:
        """One pass of every run, and what follows from it."""
        self._evaluate()  # a run may have been stopped between its step and its score
        self._each([s for s in self.members if s.run.step < s.last], self._pass)
        for member in [s for s in self.members if s.run.window_complete]:
            self._guarded(member, self._step)
        self._evaluate()
        self._finish([s for s in self.members if s.run.step >= s.last and s.run.window is None])

    def _evaluate(self) -> None:
        due = [s for s in self.members if s.run.window is None and s.run.step in s.job.spec.eval_steps]
        self._score([s for s in due if not s.scored], self.splits.selection, self._scored)

    def _pass(self, members: list[Member]) -> None:
        """The next pass of every one of ``members``: one forward, one backward."""
        if not self.holding:
            self.held.enter_context(held_factors())
            self.holding = True
        parts = [(member.run.trainee.name, member.run.next_batch()) for member in members]
        alone = members[0].run if len(members) == 1 else None
        found = [alone.losses_of(parts[0][1])] if alone else members[0].run.trainee.forward.nll_many(parts)
        totals = [nll.sum() for nll in found]
        shares = [member.run.share(total) for member, total in zip(members, totals, strict=True)]
        torch.autograd.backward(shares)
        for member, nll, total in zip(members, found, totals, strict=True):
            if member.run.reads_losses:
                member.run.run_view.note(nll)
            if member.run.passed(float(total.detach())):
                self._release()

    def _release(self) -> None:
        """Factors are about to change."""
        self.held.close()
        self.holding = False

    def _step(self, member: Member) -> None:
        self._release()
        loss = member.run.close_window()
        if math.isfinite(loss):
            last = {name: values[-1] for name, values in member.run.result.penalties.items()}
            member.run.tell({"step": member.run.step, "loss": loss, **({"penalties": last} if last else {})})
        else:
            self._diverged(member, "the training loss")

    def _scored(self, member: Member, found: Score) -> None:
        run = member.run
        nll = run.scored(found)
        if not math.isfinite(nll):
            self._diverged(member, "the selection score")
            return
        run.tell({"step": run.step, "selection_nll": nll})
        pausing = run.step == member.job.until
        late = time.monotonic() - member.written >= self.checkpoint_seconds
        if member.checkpoint and (pausing or late):
            save_run(run, member.checkpoint)
            member.written = time.monotonic()

    def _diverged(self, member: Member, what: str) -> None:
        member.run.diverge(what)
        member.run.count()
        self._leave(member, member.run.result)

    def _finish(self, members: list[Member]) -> None:
        """Pause, or score the test split at the last and at the best step, save, and leave."""
        for member in [s for s in members if s.run.step < s.run.spec.steps]:
            self._leave(member, member.run.paused())
        ending = [s for s in members if s in self.members]
        for member in [s for s in ending if s.job.spectrum]:
            self._guarded(member, lambda member: member.run.measure())
        ending = [s for s in ending if s in self.members]
        self._score([s for s in ending if s.job.test], self.splits.test, Member.take_final)
        ending = [s for s in ending if s in self.members]
        back = [s for s in ending if s.run.best and s.run.result.best_step != s.run.step]
        for member in back:
            member.restored = True
            member.run.trainee.restore(member.run.best)
        self._score([s for s in back if s.job.test], self.splits.test, Member.take_test)
        for member in [s for s in ending if s in self.members]:
            self.stopping.check()
            self._guarded(member, self._end)

    def _end(self, member: Member) -> None:
        member.run.count()
        if member.job.quiz is not None:
            member.run.answer(member.job.quiz)
        if member.job.state_to is not None:
            member.run.state().write(member.job.state_to)
        if member.job.save_to is not None:
            member.run.trainee.save(member.job.save_to, self.base)
            write_form(member.job.save_to, self.splits.form)
        self._leave(member, member.run.result)

    def _score(self, members: list[Member], examples: Sequence[Encoded], take: Callable[[Member, Score], None]) -> None:
        """Score ``examples`` for all ``members`` in shared passes and hand each its own."""
        found: dict[Member, Score] = {}

        def together(some: list[Member]) -> None:
            trainees = [s.run.trainee for s in some]
            scores = score(some[0].run.trainee.forward, trainees, examples, between=self.stopping.check)
            found.update(zip(some, scores, strict=True))

        self._each(members, together)
        for member, one in found.items():
            self._guarded(member, lambda member, one=one: take(member, one))  # type: ignore[misc]

    def _each(self, members: list[Member], work: Callable[[list[Member]], None]) -> None:
        """Do ``work`` for all of ``members`` in as few goes as memory allows; a fault ends the run it belongs to."""
        size = min(len(members), self.together or len(members))
        for some in [members[i : i + size] for i in range(0, len(members), size)] if members else []:
            self._attempt(some, work)

    def _attempt(self, members: list[Member], work: Callable[[list[Member]], None]) -> None:
        if (fault := attempted(members, work)) is None:
            return
        if len(members) == 1:
            self._fault(members[0].index, fault, members[0])
            return
        for member in members:
            member.run.rewind()
        half = len(members) // 2
        parts = [members[:half], members[half:]]
        if out_of_memory(fault):
            self.together = half
        else:  # whose fault is it? Those without one must not be held up by another's.
            parts = [[member] for member in members]
        del fault  # its traceback holds the tensors of the attempt
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        for part in parts:
            self._attempt(part, work)

    def _guarded(self, member: Member, work: Callable[[Member], None]) -> None:
        try:
            work(member)
        except Exception as error:
            self._fault(member.index, error, member)

    def _fault(self, index: int, error: Exception, member: Member | None = None) -> None:
        if self.raise_faults or isinstance(error, OSError):
            raise error
        reason = " ".join(str(error).split()) or type(error).__name__
        result = member.run.result if member else RunResult()
        result.status, result.reason = "failed", reason
        if member:
            self._leave(member, result)
        else:
            self._put(index, result)

    def _leave(self, member: Member, result: RunResult) -> None:
        self.members.remove(member)
        member.run.close()
        self._put(member.index, result)

    def _put(self, index: int, result: RunResult) -> None:
        self.results[index] = result
        if (tell := self.jobs[index].ended) is not None:
            tell(result)
