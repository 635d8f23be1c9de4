"""An adapter's events and penalties under transformers' ``Trainer``, at the moments they have in our own loop.

Trainer clips before the first call a callback gets, so an event that acts between backward and clipping needs
``max_grad_norm=0``. Penalties come in before the first pass, so they are clipped with the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rankwise.adapters import Handle
from rankwise.adapters.events import Rate
from rankwise.adapters.events.base import Event
from rankwise.engine.events.driver import Events, add_penalties
from rankwise.engine.events.view import View
from rankwise.engine.optim import make_rate, precondition
from rankwise.errors import UsageError
from rankwise.models.attention_pattern import WHOLE

EVENT = "rankwise.event."
_MEMORY = f"{EVENT}memory"


class TrainerEvents:
    """Drives the events of one adapter; see :class:`rankwise.integrations.trainer.RankwiseCallback`.

    Attributes:
        fired: records of what events did.
        penalties: weighted penalties by name, one entry per step.
        loaded: tensors of a checkpoint that was read and not yet put to use.
    """

    def __init__(self, handle: Handle, probe: Callable[[], float] | None) -> None:
        self.handle, self.probe = handle, probe
        self.fired: list[dict[str, Any]] = []
        self.penalties: dict[str, list[float]] = {}
        self.loaded: dict[str, Tensor] = {}
        self._events: Events | None = None
        self._rate: Rate | None = None
        self._optimizer: Any = None
        self._steps = 0

    def begin(self, args: Any, state: Any, optimizer: Any) -> None:
        """Start, or go on from the checkpoint that was read.

        Raises:
            UsageError: an event or a penalty that this Trainer's settings would change.
        """
        adapter = self.handle.adapter
        if adapter.events or adapter.penalties:
            self._check(args)

        def record(firing: dict[str, Any]) -> None:
            self.fired.append(firing)
            state.log_history.append(dict(firing))

        self._events = Events(
            self.handle,
            lambda: optimizer,
            seed=self.handle.seed,
            steps=state.max_steps,
            view=View(probe=self._measure if self.probe else None),
            record=record,
        )
        # The schedule itself is Trainer's; an event that shapes it needs it as a function.
        warmup = int(args.get_warmup_steps(state.max_steps))
        self._rate = self._events.reshape(lambda: make_rate(str(args.lr_scheduler_type.value), warmup))
        self._optimizer, self._steps = optimizer, state.max_steps
        if self.loaded and state.global_step:
            memory = json.loads(bytes(self.loaded.pop(_MEMORY).tolist()).decode())
            tensors = {key.removeprefix(EVENT): value for key, value in self.loaded.items()}
            self._events.restore(tensors, memory)
        self.loaded = {}

    def _check(self, args: Any) -> None:
        events = self.handle.adapter.events
        owner = next((event for event in events if event.owns_base), None)
        early = next((event for event in events if event.acts_at("after_backward")), None)
        if owner is not None:
            raise UsageError(
                f"event {owner.name!r} writes the base, and a Trainer has no private copy of it; use rankwise.train."
            )
        if early is not None and args.max_grad_norm:
            raise UsageError(
                f"event {early.name!r} acts between backward and clipping, a moment Trainer does not offer; set "
                f"max_grad_norm=0 (found {args.max_grad_norm:g}) or use rankwise.train."
            )
        if unfit := next((event for event in events if event.passes is not None or event.reads_examples), None):
            what = "reads single training examples" if unfit.reads_examples else "counts micro-batches"
            raise UsageError(f"event {unfit.name!r} {what}, which a Trainer does not offer; use rankwise.train.")
        if loss := next((event for event in events if event.owns_loss), None):
            raise UsageError(
                f"event {loss.name!r} makes the loss by passes of its own, which Trainer does itself; use "
                "rankwise.train."
            )
        if unusual := next((event for event in events if event.attention != WHOLE), None):
            raise UsageError(
                f"event {unusual.name!r} changes attention in training passes only, which Trainer runs itself; use "
                "rankwise.train."
            )
        split = next((event for event in events if type(event).reads is not Event.reads), None)
        if split is not None:
            raise UsageError(
                f"event {split.name!r} decides which examples a step reads, which Trainer does itself; use "
                "rankwise.train."
            )
        if args.fp16 or args.world_size > 1:
            found = "fp16" if args.fp16 else f"{args.world_size} processes"
            raise UsageError(
                f"events and penalties work under one process without fp16's gradient scaling, found {found}; use bf16 "
                "or float32 in one process, or rankwise.train."
            )

    def _measure(self) -> float:
        """The caller's probe, with the adapter's dropout off and its stream untouched."""
        assert self.probe is not None
        slots = list(self.handle.slots.values())
        modes = [slot.training for slot in slots]
        try:
            for slot in slots:
                slot.eval()
            with torch.no_grad():
                return float(self.probe())
        finally:
            for slot, mode in zip(slots, modes, strict=True):
                slot.train(mode)

    def open_window(self, step: int) -> None:
        """Before the first pass of a step."""
        if self._events:
            self._events.fire("before_window", step)
        for name, value in add_penalties(self.handle, step, self._steps).items():
            self.penalties.setdefault(name, []).append(value)

    def before_step(self, step: int) -> None:
        """Before the optimizer; ``after_backward`` events come first, unclipped because nothing is clipped."""
        if self._events:
            self._events.fire("after_backward", step)
            self._events.fire("before_step", step)
        precondition(self.handle)
        if self._rate is not None:
            share = self._rate(step - 1, self._steps)
            for group in self._optimizer.param_groups:
                group["lr"] = group["initial_lr"] * share

    def after_step(self, step: int) -> None:
        """After the optimizer."""
        if self._events:
            self._events.after_step(step)

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps of the events; nothing without events."""
        if not self._events:
            return {}
        memory = json.dumps(self._events.record()).encode()
        own = {f"{EVENT}{key}": value.cpu().contiguous() for key, value in self._events.tensors().items()}
        return {**own, _MEMORY: torch.frombuffer(bytearray(memory), dtype=torch.uint8)}
