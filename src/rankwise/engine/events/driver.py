"""Gives an adapter's events access to their run, records what they do, and keeps their memory through a resume.

The contract is in :mod:`rankwise.adapters.events.base`. The engine's loop drives it, and so does the Trainer callback.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from rankwise.adapters import Handle, stream_seed
from rankwise.adapters.events import Event, Rate
from rankwise.adapters.parametrizations.frozen_pairs import merged
from rankwise.adapters.slot import Slot
from rankwise.engine.events.context import EventContext, Record
from rankwise.engine.events.view import View

AFTER = ("after_step", "at_interval", "at_end")  # moments when the step was taken


def add_penalties(handle: Handle, step: int, steps: int) -> dict[str, float]:
    """Add the gradients of the adapter's penalties to its factors; return the weighted values by name, 0 at rest.

    Once per optimizer step (``step`` of ``steps``, from 1), before the passes: all of them see the same factors.
    """
    factors = {path: _beside(slot) for path, slot in handle.slots.items()} if handle.adapter.penalties else {}
    found: dict[str, float] = {}
    for penalty in handle.adapter.penalties:
        if not penalty.acts(step, steps):
            found.setdefault(penalty.name, 0.0)
            continue
        value = penalty.weight * penalty.value(factors)
        value.backward()
        found[penalty.name] = found.get(penalty.name, 0.0) + float(value.detach())
    return found


def _beside(slot: Slot) -> dict[str, Tensor]:
    """Return the factors, and the frozen pairs of earlier updates as ``merged_A`` and ``merged_B``."""
    return {**slot.factors, **{f"merged_{name}": value for name, value in merged(slot).items()}}


class Events:
    """The events of one adapter.

    Args:
        optimizer: returns the run's optimizer (of torch, or wrapped by accelerate).
        seed: of the run; every event gets a stream of its own.
        steps: of the whole run.
        view: what they may look at.
        record: called with the record of every firing.
    """

    def __init__(
        self,
        handle: Handle,
        optimizer: Callable[[], Any],
        *,
        seed: int,
        steps: int,
        view: View,
        record: Record,
    ) -> None:
        self.handle = handle
        self.contexts = [
            EventContext(event, handle, optimizer, stream_seed(seed, "event", i, event.name), view, record)
            for i, event in enumerate(handle.adapter.events)
        ]
        for context in self.contexts:
            context.steps = steps

    def __bool__(self) -> bool:
        return bool(self.contexts)

    def acts_at(self, moment: str) -> bool:
        """Return whether any event acts at ``moment``."""
        return any(context.event.acts_at(moment) for context in self.contexts)

    def fire(self, moment: str, step: int) -> bool:
        """Let every event act that acts at ``moment``; return whether there was one."""
        acting = [context for context in self.contexts if context.event.acts_at(moment)]
        for context in acting:
            context.at(moment, step, taken=moment in AFTER)
            getattr(context.event, moment)(context, *((step,) if moment == "after_step" else ()))
        return bool(acting)

    def after_step(self, step: int) -> None:
        """Fire ``after_step``, then ``at_interval`` where it is due, then ``at_end`` after the last step."""
        self.fire("after_step", step)
        for context in self.contexts:
            interval = context.event.interval
            if interval is not None and step % interval == 0:
                context.at("at_interval", step, taken=True)
                context.event.at_interval(context, step)
        self.widen()
        if self.contexts and step == self.contexts[0].steps:
            self.fire("at_end", step)
            self.widen()

    def widen(self) -> None:
        """Let passes see the factors themselves again."""
        for slot in self.handle.slots.values():
            slot.lens = None
        for context in self.contexts:
            context.undrop()

    def reshape(self, rate: Callable[[], Rate]) -> Rate | None:
        """Return the learning-rate schedule with what the events make of it, None when they leave it."""
        events = [context.event for context in self.contexts if type(context.event).reshape is not Event.reshape]
        if not events:
            return None
        shaped = rate()
        for event in events:
            shaped = event.reshape(shaped)
        return shaped

    @property
    def owns_loss(self) -> bool:
        """Whether an event makes the loss of a pass."""
        return any(context.event.owns_loss for context in self.contexts)

    def objective(self, step: int, logits: Callable[[], Tensor], next_ids: Tensor) -> Tensor:
        """Return what the event that makes the loss says every target loses, (M,)."""
        context = next(context for context in self.contexts if context.event.owns_loss)
        context.at("objective", step, taken=False)
        return context.event.objective(context, logits, next_ids)

    @property
    def act_inside_windows(self) -> bool:
        """Whether an event acts after passes that close no window."""
        return any(context.event.passes is not None for context in self.contexts)

    def after_pass(self, number: int, step: int, *, taken: bool) -> bool:
        """Fire ``at_passes`` where pass ``number`` of the run is one to act after; return whether there was one.

        Args:
            taken: that pass was the last of its step, which was taken.
        """
        acting = [c for c in self.contexts if c.event.passes is not None and number % c.event.passes == 0]
        for context in acting:
            context.at("at_passes", step, taken=taken)
            context.event.at_passes(context, number)
        return bool(acting)

    def tensors(self) -> dict[str, Tensor]:
        """Return the streams and the tensors of every event's memory."""
        found = {}
        for i, context in enumerate(self.contexts):
            found[f"{i}/stream"] = context.generator.get_state()
            found |= {f"{i}/state/{k}": v for k, v in context.state.items() if isinstance(v, Tensor)}
        return found

    def record(self) -> list[dict[str, Any]]:
        """Return the JSON part of every event's memory."""
        return [{k: v for k, v in c.state.items() if not isinstance(v, Tensor)} for c in self.contexts]

    def restore(self, tensors: Mapping[str, Tensor], record: list[dict[str, Any]]) -> None:
        """Put both back."""
        for i, (context, plain) in enumerate(zip(self.contexts, record, strict=True)):
            context.generator.set_state(tensors[f"{i}/stream"])
            prefix = f"{i}/state/"
            own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            context.state = {**plain, **own}
