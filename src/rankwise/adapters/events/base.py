"""The contract of an event: what a method does to its own adapter while it trains.

An event overrides the moments it acts at; in one optimizer step they come in this order::

    before_window -> forward and backward of every pass -> after_backward -> clipping -> before_step -> optimizer
        -> after_step(t) -> at_interval(t) when t is a multiple of ``interval`` -> next learning rate, gradients cleared

and ``at_end`` after the last step (where a task of a stream ends). An event may count passes (micro-batches) instead of
steps: ``at_passes`` comes after every ``passes``-th one, inside an accumulation window too where the event allows it.
Three things an event decides without acting: the learning rate (``reshape``), which examples a step may read
(``reads``), and what the loss of a pass is (``objective``).

Everything an event reads or changes goes through :class:`Context`, which the engine (or a Trainer callback) provides.
Changes are possible only inside ``with ctx.firing()``, which records them: no event acts unseen. Events of one run see
that run's tensors alone, so they never touch a neighbor in a pack.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.axis import Choice
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.adapter import Adapter
    from rankwise.adapters.layers import Lens

Rate = Callable[[int, int], float]
"""From (steps taken, steps in all) to what the learning rate is multiplied by."""

MOMENTS = ("before_window", "after_backward", "before_step", "after_step", "at_interval", "at_end")


class Context(abc.ABC):
    """What an event sees of its run.

    Attributes:
        step: number of the optimizer step that is being taken or was just taken, from 1.
        steps: of the whole run.
        taken: whether step ``step`` was taken already; False from ``before_window`` to ``before_step``, and in
            ``at_passes`` inside an accumulation window.
        generator: this event's own random stream on the CPU, saved in checkpoints.
        state: this event's own memory, saved in checkpoints: names to tensors or JSON values.
    """

    step: int
    steps: int
    taken: bool
    generator: torch.Generator
    state: dict[str, Any]

    @property
    @abc.abstractmethod
    def modules(self) -> tuple[str, ...]:
        """The adapted modules by dotted name, in the model's order."""

    @abc.abstractmethod
    def factors(self, module: str) -> Mapping[str, Tensor]:
        """Return the trained tensors of ``module`` by name, detached; change them by :meth:`write`."""

    @abc.abstractmethod
    def frozen(self, module: str) -> Mapping[str, Tensor]:
        """Return the frozen pairs beside the factors, A (k rank, d_in) and B (d_out, k rank); empty without any."""

    @abc.abstractmethod
    def gradients(self, module: str) -> Mapping[str, Tensor]:
        """Return the gradients of ``module`` by factor (fewer where there is none), to be changed in place.

        They exist from ``after_backward`` to ``at_interval``; changes count up to ``before_step``.
        """

    @property
    @abc.abstractmethod
    def training_examples(self) -> int:
        """How many training examples the run has."""

    @abc.abstractmethod
    def losses(self) -> Mapping[int, float]:
        """Return the loss per target of this step's examples, by index into the training data.

        Empty unless the event sets ``reads_losses``.
        """

    @abc.abstractmethod
    def curvature(self, examples: Sequence[int], *, own_labels: bool) -> dict[str, dict[str, Tensor]]:
        """Return, by module and factor, the sum over training examples of the squared gradient of their summed NLL.

        Args:
            examples: indices into the training data; each takes a pass of its own.
            own_labels: the examples' own targets; False: what the model itself finds likeliest there.
        """

    @abc.abstractmethod
    def scaling(self, module: str) -> float:
        """Return s of ``module``."""

    @abc.abstractmethod
    def W0(self, module: str) -> Tensor:
        """Return a copy (d_out, d_in) of the weight that the adapter sits on, float32 or wider."""

    @abc.abstractmethod
    def firing(self, *, measure: bool = True) -> AbstractContextManager[dict[str, Any]]:
        """Open a block in which the adapter may be changed; yields a dict for what the record should say (JSON).

        Args:
            measure: also record the update's norm, the ranks and the loss on a fixed probe batch, before and after;
                costs two forward passes and two dense updates. False for events that act at every step.
        """

    @abc.abstractmethod
    def write(self, module: str, values: Mapping[str, Tensor]) -> None:
        """Set factors of ``module``; shapes stay."""

    @abc.abstractmethod
    def narrow(self, module: str, lens: Lens | None) -> None:
        """Let the passes see ``lens(tensors, s)`` in place of ``module``'s tensors and s, up to the end of this step.

        None ends it at once. The factors themselves, what is saved and what ``at_end`` leaves behind stay whole.
        """

    @abc.abstractmethod
    def drop_backward(self, block: str) -> None:
        """Let no gradient into the output of ``block``, a module that holds adapted ones, up to the end of this step.

        What it computes stays; its factors get no gradient (None, or zero where neighbors share the pass).
        """

    @abc.abstractmethod
    def undrop(self) -> None:
        """End what :meth:`drop_backward` began, before the end of the step does."""

    @abc.abstractmethod
    def gradient_norms(self) -> dict[str, float]:
        """Return the norm of every factor's gradient, as ``module:factor``, over the examples of the step just taken.

        Of the factors as they are now, without dropout, with the blocks dropped by :meth:`drop_backward`; a factor
        without gradient has norm 0. The gradients of the step stay.

        Raises:
            RunError: there is no such batch here (under a Trainer).
        """

    @abc.abstractmethod
    def masking(
        self, weigh: Callable[[Tensor], Tensor] | None, cut: Callable[[Tensor], Tensor] | None
    ) -> AbstractContextManager[None]:
        """Open a block whose passes compute attention weights by ``weigh`` and change hidden numbers by ``cut``.

        Args:
            weigh: from attention's logits (N, heads, S, S), -inf where a key may not be seen; None: the model's own.
            cut: from what the last projection of every feed-forward part reads (..., width); None: as it is.
        """

    @abc.abstractmethod
    def weights(self, block: str) -> int:
        """Return how many numbers the adapted weights inside ``block`` have: its share of a pass's work."""

    @abc.abstractmethod
    def drop_gradient(self, module: str, factor: str) -> None:
        """Take a factor out of this step: it stays, its moments stay, its step count stays; up to ``before_step``."""

    @abc.abstractmethod
    def rank(self, module: str) -> int:
        """Return the rank of ``module``'s factors."""

    @abc.abstractmethod
    def fresh(self, module: str) -> dict[str, Tensor]:
        """Draw a new start of ``module``'s factors from the adapter's init and this event's stream."""

    @abc.abstractmethod
    def freeze_update(self, module: str) -> None:
        """Move the update of this moment, s B A, into a frozen part that stays added; the factors keep their values."""

    @abc.abstractmethod
    def write_base(self, module: str, W: Tensor) -> None:
        """Replace the run's private weight (d_out, d_in) of ``module``; for events that declare ``owns_base``."""

    @abc.abstractmethod
    def reset_optimizer(self, module: str, factor: str) -> None:
        """Forget a factor's optimizer state, step count included: it goes on as under a new optimizer."""

    @abc.abstractmethod
    def moments(self, module: str, factor: str) -> Mapping[str, Tensor]:
        """Return copies of a factor's moments by name (``exp_avg``, ``exp_avg_sq``); empty before its first step."""

    @abc.abstractmethod
    def prune_optimizer(self, module: str, factor: str, keep: Tensor, dim: int | None = 0) -> None:
        """Zero the moments of a factor where ``keep`` is False: one bool per index of ``dim``, or (None) per entry."""

    @abc.abstractmethod
    def transport_optimizer(self, module: str, factor: str, M: Tensor, dim: int = 0) -> None:
        """Carry a factor's moments to new coordinates in which its gradient is ``M gradient`` along ``dim``.

        Where the factor itself becomes ``N factor``, M is N^-T (N for an orthogonal N).

        The first moment follows linearly, the second by the entrywise square of M (exact when M is a signed
        permutation or a diagonal; for a dense M it is the value under uncorrelated gradients).
        """

    @abc.abstractmethod
    def probe(self) -> float | None:
        """Return the loss per target on a fixed batch of training examples, None where there is no such batch."""

    @abc.abstractmethod
    def selection(self) -> float | None:
        """Return the NLL per target of the selection split as the adapter stands, None where there is no such split."""

    @abc.abstractmethod
    def watch(self, see: Callable[[str, Tensor], None]) -> None:
        """Run the model on the examples of the step just taken and show ``see`` every module's inputs (rows, d_in).

        Without gradients and without dropout; from ``after_backward`` to ``at_interval``.

        Raises:
            RunError: there is no such batch here (under a Trainer).
        """


@dataclass(frozen=True)
class Event(Choice, abc.ABC):
    """Something that happens during training. Members override the moments they act at."""

    owns_base: ClassVar[bool] = False
    """Writes the weights under the adapter: the run then trains on a private copy of the adapted ones, alone."""

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
    def forwards(self) -> int:
        """Forward and backward passes that :meth:`objective` makes of one pass."""
        return 1

    @property
    def owns_loss(self) -> bool:
        """Whether this event overrides :meth:`objective`; such a run trains alone."""
        return type(self).objective is not Event.objective

    def objective(self, ctx: Context, logits: Callable[[], Tensor], next_ids: Tensor) -> Tensor:
        """Return what every target of a pass loses, (M,), in place of its NLL.

        Args:
            logits: runs the pass anew at every call and returns the logits of its targets, (M, V).
            next_ids: (M,) the targets.
        """
        raise NotImplementedError  # asked for only where owns_loss

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

    def check(self, adapter: Adapter) -> None:
        """Refuse an adapter this event cannot serve.

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
