"""The contract of an event: what a method does to its own adapter while it trains.

An event overrides the moments it acts at; in one optimizer step they come in this order::

    before_window -> forward and backward of every pass -> after_backward -> clipping -> before_step -> optimizer
        -> after_step(t) -> at_interval(t) when t is a multiple of ``interval`` -> next learning rate, gradients cleared

and ``at_end`` after the last step (where a task of a stream ends). An event may count passes (micro-batches) instead of
steps: ``at_passes`` comes after every ``passes``-th one, inside an accumulation window too where the event allows it.
Four things an event decides without acting: the learning rate (``reshape``), which examples a step may read
(``reads``), what the loss of a pass is (``objective``), and how far attention reaches in it (``attention``).

Everything an event reads or changes goes through :class:`~rankwise.adapters.events.context.Context`. Events of one run
see that run's tensors alone, so they never touch a neighbor in a pack.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from rankwise.adapters.axis import Choice
from rankwise.adapters.events.context import Context
from rankwise.errors import UsageError
from rankwise.models.attention_pattern import WHOLE, AttentionPattern

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition

Rate = Callable[[int, int], float]
"""From (steps taken, steps in all) to what the learning rate is multiplied by."""

MOMENTS = ("before_window", "after_backward", "before_step", "after_step", "at_interval", "at_end")


@dataclass(frozen=True)
class Event(Choice, abc.ABC):
    """Something that happens during training. Members override the moments they act at."""

    needs: ClassVar[str] = ""
    """What the parametrization must offer: a ``pair``, a ``switch`` or ``gates``; or ``layers``: no prompt will do."""

    doing: ClassVar[str] = ""
    """What it does with that, in words that follow its name where it is refused."""

    draws_starts: ClassVar[bool] = False
    """Draws new starts from the adapter's init while training."""

    owns_base: ClassVar[bool] = False
    """Writes the weights under the adapter: the run then trains on a private copy of the adapted ones, alone."""

    stores: ClassVar[bool] = False
    """Freezes updates beside the pair that trains, so an adapter's rank grows by as much again."""

    spares_last: ClassVar[bool] = False
    """Leaves out a run's last step, should its cadence fall on it: nothing would follow."""

    reads_examples: ClassVar[bool] = False
    """Asks for inputs, losses, gradients or curvature of training examples, which a Trainer cannot give."""

    reads_losses: ClassVar[bool] = False
    """Wants :meth:`Context.losses`, which are then kept for every step."""

    @property
    def interval(self) -> int | None:
        """Steps between two calls of :meth:`at_interval`; None: never."""
        return None

    @property
    def passes(self) -> int | None:
        """Passes (micro-batches) between two calls of :meth:`at_passes`; None: never. Such a run trains alone."""
        return None

    @property
    def in_windows(self) -> bool:
        """Whether :meth:`at_passes` may come inside an accumulation window, where gradients are under way."""
        return False

    @property
    def acts_after_last(self) -> bool:
        """Whether it acts once the last step was taken, apart from its cadence."""
        return self.acts_at("at_end")

    @property
    def forwards(self) -> int:
        """Forward and backward passes that :meth:`objective` makes of one pass."""
        return 1

    @property
    def owns_loss(self) -> bool:
        """Whether this event overrides :meth:`objective`; such a run trains alone."""
        return type(self).objective is not Event.objective

    def objective(self, ctx: Context, logits: Callable[[], Tensor], next_ids: Tensor) -> Tensor:
        """Return what every target of a pass loses, (M,), in place of its NLL.

        The engine asks only events whose ``owns_loss`` is true, which is to say: those that override this.

        Args:
            logits: runs the pass anew at every call and returns the logits of its targets, (M, V).
            next_ids: (M,) the targets.
        """
        raise NotImplementedError(f"event {self.name!r} owns no loss (owns_loss is False), and is not asked for one")

    @property
    def attention(self) -> AttentionPattern:
        """How far attention reaches in training passes; the model's own, unless overridden."""
        return WHOLE

    def check_lengths(self, longest: int) -> None:
        """Refuse training data whose ``longest`` example, in tokens, leaves this event without effect.

        Raises:
            UsageError: naming both numbers.
        """

    def check_window(self, passes: int) -> None:
        """Refuse a cadence in passes that falls inside accumulation windows of ``passes`` passes, unless allowed.

        Raises:
            UsageError: naming both numbers.
        """
        if self.passes and self.passes % passes and not self.in_windows:
            raise UsageError(
                f"event {self.name!r} after every {self.passes} micro-batches falls inside an accumulation window of "
                f"{passes}; use a multiple of {passes}, or set inside_window to allow it."
            )

    def check(self, adapter: Composition) -> None:
        """Refuse an adapter this event cannot serve, for reasons that traits do not tell.

        Raises:
            UsageError: naming the parameter, the requirement and the value found.
        """

    def describe(self) -> str:
        """Return a short text for ``repr(adapter)``."""
        return self.name

    def reshape(self, rate: Rate) -> Rate:
        """Return the learning-rate schedule that this event wants, given the run's own; the same by default."""
        return rate

    def reads(self, step: int, n: int, seed: int) -> tuple[Sequence[int], int] | None:
        """Return which of ``n`` training examples step ``step`` (0-based) may read, and its number among such steps.

        None: all of them, as without this event. Must be a function of its arguments alone.
        """
        return None

    def before_window(self, ctx: Context) -> None:
        """No pass of this step has run; for :meth:`Context.narrow`. Factors are not to be written here."""

    def after_backward(self, ctx: Context) -> None:
        """Gradients of the whole window are there, not yet clipped."""

    def before_step(self, ctx: Context) -> None:
        """Gradients are clipped; the optimizer comes next."""

    def after_step(self, ctx: Context, step: int) -> None:
        """Step ``step`` (1-based) was taken; its gradients are still there."""

    def at_interval(self, ctx: Context, step: int) -> None:
        """As ``after_step``, at every multiple of ``interval``."""

    def at_passes(self, ctx: Context, number: int) -> None:
        """Pass ``number`` of the run (1-based), a multiple of ``passes``, was done (and its step, if the last)."""

    def at_end(self, ctx: Context) -> None:
        """The last step was taken (a run that diverged does not get here)."""

    def acts_at(self, moment: str) -> bool:
        """Return whether this event overrides ``moment``, one of :data:`MOMENTS`."""
        return getattr(type(self), moment) is not getattr(Event, moment)
