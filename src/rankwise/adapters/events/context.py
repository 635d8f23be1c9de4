"""What an event sees of its run: everything it may read, and every change it may make.

The engine provides it (and a Trainer callback). What it gives are copies. Changes are possible only inside ``with
ctx.firing()``, which records them: no event acts unseen. One needs no block, :meth:`Context.write_gradients`: like a
penalty it only adds to what a step follows.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from rankwise.adapters.slot import Lens


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
        """Return copies of the gradients of ``module`` by factor, fewer where there is none.

        They exist from ``after_backward`` to ``at_interval``; change them by :meth:`write_gradients`.
        """

    @abc.abstractmethod
    def write_gradients(self, module: str, values: Mapping[str, Tensor]) -> None:
        """Set gradients of ``module`` that there are, in ``after_backward`` (clipped with the rest) or ``before_step``.

        Raises:
            RunError: at another moment, when the step would not see it; or a factor has no gradient.
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
