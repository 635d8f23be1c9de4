"""One run in progress: its trainee, its optimizer, its window, its record. :mod:`rankwise.engine.pack.loop` drives it.

Nothing here knows of other runs. Everything that decides this run's numbers is its own: order of examples, passes and
their order, denominator, dropout stream, clipping, optimizer with its step count, schedule, events, best snapshot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rankwise.adapters import Adapter
from rankwise.cost import Workload, model_shape
from rankwise.data import Splits
from rankwise.engine.accumulation import Window, open_window
from rankwise.engine.batches import Batch, collate
from rankwise.engine.checkpoint.state import State
from rankwise.engine.evaluation.evaluate import Score
from rankwise.engine.evaluation.exact_match import Quiz
from rankwise.engine.evaluation.float32_compute import wide_dtype
from rankwise.engine.evaluation.logits import target_logits
from rankwise.engine.evaluation.sample import sample
from rankwise.engine.evaluation.spectrum import spectrum
from rankwise.engine.events.driver import Events, add_penalties
from rankwise.engine.events.run_view import RunView
from rankwise.engine.forward import Forward
from rankwise.engine.optim import make_optimizer, make_rate, make_schedule, precondition, renewal
from rankwise.engine.result import RunResult
from rankwise.engine.spec import TrainSpec
from rankwise.engine.trainees import AdapterTrainee, Trainee, make_trainee
from rankwise.engine.watch import Watch, look
from rankwise.errors import UsageError
from rankwise.models import Base

Observer = Callable[[dict[str, Any]], None]


class Run:
    """One run.

    Args:
        name: of the adapter on the base, unique among the runs on it; changes no bit.
        keep_best: keep the tensors of the best step on selection.
        observe: also told every firing of an event.
        start: begin from this state instead of the spec's own start.
        trainee, watch: see :class:`rankwise.engine.PackJob`.

    Raises:
        UsageError: ``trainee`` is on another model.
    """

    def __init__(
        self,
        base: Base,
        forward: Forward,
        spec: TrainSpec,
        splits: Splits,
        *,
        name: str = "run",
        keep_best: bool = False,
        observe: Observer | None = None,
        trainee: Trainee | None = None,
        watch: Watch | None = None,
        start: State | None = None,
    ) -> None:
        if trainee is not None and not trainee.alone and trainee.forward.model is not base.model:
            raise UsageError("a trainee that shares its base must be made on the base that is trained on.")
        self.base, self.spec, self.splits, self.keep_best = base, spec, splits, keep_best
        self.tell: Observer = observe or (lambda record: None)
        self.shape = model_shape(base.model)
        self.given, self.watch = trainee is not None, watch
        for event in spec.target.events:
            event.check_lengths(max(len(example.input_ids) for example in splits.train))
        data = () if self.given else sample(spec, splits.train, next(base.model.parameters()).device)
        self.trainee: Trainee = trainee or make_trainee(base.model, forward, spec.target, spec.seed, name, data)
        self.trainee.training(True)  # a given one was on the base when the base was set to evaluation mode
        self.parameters = list(self.trainee.parameters.values())
        self.optimizer = make_optimizer(self.trainee.parameters, spec)
        self.scheduler = make_schedule(self.optimizer, spec)
        self.result = RunResult(trainable=sum(p.numel() for p in self.parameters))
        self.best: dict[str, Tensor] = {}
        self.work = Workload()
        self.step = 0
        self.passes = 0
        self.window: Window | None = None
        self.told: list[dict[str, Any]] = []  # in a window that may yet be begun again
        self.run_view = RunView(self)
        self.events = self._events()
        self.rate = self.events.reshape(lambda: make_rate(spec.schedule, spec.warmup)) if self.events else None
        if start is not None:
            self.trainee.restore(dict(start.tensors))
            if self.events and start.record:
                self.events.restore(start.events, list(start.record))

    def state(self) -> State:
        """Return what a later run may begin from."""
        events = (self.events.tensors(), tuple(self.events.record())) if self.events else ({}, ())
        return State(self.trainee.snapshot(), *events)

    def _events(self) -> Events | None:
        if not (isinstance(self.trainee, AdapterTrainee) and isinstance(self.spec.target, Adapter)):
            return None
        return Events(
            self.trainee.handle,
            lambda: self.optimizer,
            seed=self.spec.seed,
            steps=self.spec.steps,
            view=self.run_view.view(self.trainee.private),
            record=self._fired,
        )

    @property
    def reads_losses(self) -> bool:
        """Whether an event wants the losses of single examples."""
        return any(event.reads_losses for event in self.spec.target.events)

    def _fired(self, record: dict[str, Any]) -> None:
        if "probe_loss_before" in record:
            record["probe_dtype"] = str(wide_dtype(self.trainee.forward.model)).removeprefix("torch.")
        if record["moment"] == "before_window":
            self.told.append(record)
            return
        self.result.events.append(record)
        self.tell(record)

    def next_batch(self) -> Batch:
        """Return the next pass; opens a window when none is open, with the penalties' gradients in place."""
        if self.window is None:
            stream = self.trainee.generator.get_state() if self.trainee.generator is not None else None
            self.window = open_window(self.spec, self.splits.train, self.step, stream)
            if isinstance(self.trainee, AdapterTrainee):
                self.window.penalties = add_penalties(self.trainee.handle, self.step + 1, self.spec.steps)
            if self.events and (self.events.acts_at("before_window") or self.events.owns_loss):
                self.window.memory = (self.events.tensors(), self.events.record())
                self.events.fire("before_window", self.step + 1)
        indices = self.window.passes[self.window.closed]
        return self.collate(indices)

    def collate(self, indices: Sequence[int]) -> Batch:
        """Return training examples as one pass, with the attention that this run trains with."""
        attention = self.spec.target.training_pass.attention
        return collate([self.splits.train[i] for i in indices], self.parameters[0].device, attention)

    def losses_of(self, batch: Batch) -> Tensor:
        """Return what every target of a pass of this run alone loses, (M,): its NLL, or what an event makes of it."""
        forward = self.trainee.forward
        if not (self.events and self.events.owns_loss):
            return forward.nll_many([(self.trainee.name, batch)])[0]

        def logits() -> Tensor:
            with forward.only(self.trainee.name):
                return target_logits(forward, batch)

        return self.events.objective(self.step + 1, logits, batch.next_ids)

    def share(self, nll: Tensor) -> Tensor:
        """Return a pass's part of the window's loss, from its summed NLL: what is sent backward."""
        assert self.window is not None
        return nll / self.window.denominator

    def passed(self, nll: float) -> bool:
        """Count a pass whose gradients have arrived; return whether an event changed something inside the window."""
        assert self.window is not None
        self.window.nll += nll
        self.window.closed += 1
        self.passes += 1
        return bool(self.events) and not self.window.complete and self._after_pass(self.step + 1)

    def _after_pass(self, step: int) -> bool:
        return self.events is not None and self.events.after_pass(self.passes, step, taken=step == self.step)

    def rewind(self) -> None:
        """Go back to the start of the window, as if none of its passes had been tried."""
        if self.window is not None and self.window.stream is not None and self.trainee.generator is not None:
            self.trainee.generator.set_state(self.window.stream)
        if self.window is not None and self.window.memory is not None and self.events:
            self.events.restore(*self.window.memory)
            self.events.widen()
        self.told.clear()
        self.passes -= self.window.closed if self.window is not None else 0
        self.window = None
        for p in self.parameters:
            p.grad = None

    @property
    def window_complete(self) -> bool:
        """All passes of the open window are done."""
        return self.window is not None and self.window.complete

    def close_window(self) -> float:
        """Clip, step, schedule, zero; returns the loss. Nothing is changed when loss or gradient is not finite."""
        window = self.window
        assert window is not None
        loss = window.nll / window.denominator
        norm = self._gradient_norm()
        if not (math.isfinite(loss) and torch.isfinite(norm)):
            return math.nan
        self._tell_of_window()
        if self.events and self.events.fire("after_backward", self.step + 1):
            norm = self._gradient_norm()
        if self.watch is not None:
            look(self.watch.gradients, self.step, self.trainee)
        if self.spec.clip:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.spec.clip, norm)
        if self.events:
            self.events.fire("before_step", self.step + 1)
        if isinstance(self.trainee, AdapterTrainee):
            precondition(self.trainee.handle)
        if self.rate is not None:  # the scheduler sets its own rate again after every step
            share = self.rate(self.step, self.spec.steps)
            for group in self.optimizer.param_groups:
                group["lr"] = group["initial_lr"] * share
        self.optimizer.step()
        self.trainee.after_step()
        self.step += 1
        if self.events:
            self._after_pass(self.step)
            self.events.after_step(self.step)
        if (record := renewal(self.optimizer, self.spec, self.step)) is not None:
            self._fired(record)
        if self.watch is not None:
            look(self.watch.weights, self.step, self.trainee)
        self.scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.work += window.work
        self.result.examples += window.examples
        self.result.losses.append(loss)
        for name, value in window.penalties.items():
            self.result.penalties.setdefault(name, []).append(value)
        self.window = None
        return loss

    def _tell_of_window(self) -> None:
        """Report what events did before the passes: these are done, so the window will not begin again."""
        for record in self.told:
            self.result.events.append(record)
            self.tell(record)
        self.told.clear()

    def _gradient_norm(self) -> Tensor:
        return torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])

    def train_step(self) -> float:
        """One optimizer step of this run alone; returns its loss."""
        while not self.window_complete:
            batch = self.next_batch()
            nll = self.losses_of(batch)
            if self.reads_losses:
                self.run_view.note(nll)
            total = nll.sum()
            self.share(total).backward()
            self.passed(float(total.detach()))
        return self.close_window()

    def scored(self, found: Score) -> float:
        """Take the score of the selection split; the best step is remembered."""
        self.result.curve.append((self.step, found.mean))
        if math.isfinite(found.mean) and (self.result.selection is None or found.mean < self.result.selection.mean):
            self.result.selection, self.result.best_step = found, self.step
            if self.keep_best:
                self.best = self.trainee.snapshot()
        return found.mean

    def answer(self, quiz: Quiz) -> None:
        """Answer the questions as the run stands."""
        self.trainee.training(False)
        with self.trainee.forward.only(self.trainee.name):
            self.result.right = quiz.take(replace(self.base, model=self.trainee.forward.model))

    def measure(self) -> None:
        """Put the ranks of the total update, as it stands, into the result."""
        self.result.spectrum = spectrum(self.trainee, self.base.model)

    def diverge(self, what: str) -> None:
        """Record that this run ended early; the curve keeps its finite points."""
        self.result.status = "diverged"
        self.result.reason = f"{what} stopped being finite at step {self.step + 1} (learning rate {self.spec.lr:g})"
        self.result.curve = [(step, nll) for step, nll in self.result.curve if math.isfinite(nll)]

    def count(self) -> None:
        """Put the work done into the result."""
        self.result.tokens, self.result.targets = self.work.tokens, self.work.targets
        self.result.flops = self.trainee.flops(self.shape, self.work)

    def paused(self) -> RunResult:
        """Return the result so far; the run itself goes on from its checkpoint."""
        self.count()
        return replace(self.result, status="paused")

    def close(self) -> None:
        """Leave the base as it was found, in the middle of a window too; a given trainee is closed by who gave it."""
        if self.events:
            self.events.widen()
        if not self.given:
            self.trainee.close()
