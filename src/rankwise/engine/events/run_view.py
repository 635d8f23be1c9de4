"""What the events of a run may see of its data and its model: losses, gradients, curvature.

Looking changes nothing: dropout is off, no random stream moves, and gradients that are under way stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rankwise.data import Encoded
from rankwise.engine.accumulation import Window
from rankwise.engine.evaluation.curvature import squared_gradients
from rankwise.engine.evaluation.evaluate import Score
from rankwise.engine.evaluation.float32_compute import widened
from rankwise.engine.evaluation.scoring import score
from rankwise.engine.events.view import View
from rankwise.engine.private import PrivateBase
from rankwise.engine.trainees import AdapterTrainee

if TYPE_CHECKING:
    from rankwise.engine.run import Run

PROBE = 4  # examples on which events measure the loss


class RunView:
    """One run, as its events see it; the :class:`~rankwise.engine.events.view.Examples` of its :class:`View`."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def view(self, private: PrivateBase | None) -> View:
        """Return this as a :class:`View`; ``private`` are the run's own weights, if it has them."""
        return View(self.probe, self.selection, self.replay, self.gradients, private, self)

    def probe(self) -> float:
        """Return the loss on a fixed batch of training examples, computed in float32 at least."""
        with widened(self.run.trainee.forward.model):
            return self._scored(self.run.splits.train[:PROBE]).mean

    def selection(self) -> float:
        """Return the NLL of the selection split."""
        return self._scored(self.run.splits.selection).mean

    def replay(self) -> None:
        """Run the model on the open window's examples."""
        train = self.run.splits.train
        self._scored([train[i] for one in self._window.passes for i in one])

    def _scored(self, examples: Sequence[Encoded]) -> Score:
        return score(self.run.trainee.forward, [self.run.trainee], examples)[0]

    @property
    def _window(self) -> Window:
        assert self.run.window is not None  # events look back before it is closed
        return self.run.window

    def gradients(self) -> list[tuple[nn.Parameter, Tensor | None]]:
        """The window's gradients of the parameters as they are now; those of the step are put back."""
        run, window = self.run, self._window
        kept = [p.grad for p in run.parameters]
        run.trainee.training(False)
        try:
            for p in run.parameters:
                p.grad = None
            for indices in window.passes:
                batch = run.collate(indices)
                with torch.enable_grad():
                    (nll,) = run.trainee.forward.nll_many([(run.trainee.name, batch)])
                    run.share(nll.sum()).backward()
            return [(p, p.grad) for p in run.parameters]
        finally:
            run.trainee.training(True)
            for p, gradient in zip(run.parameters, kept, strict=True):
                p.grad = gradient

    @property
    def training_examples(self) -> int:
        """How many training examples there are."""
        return len(self.run.splits.train)

    def losses(self) -> Mapping[int, float]:
        """Return the losses of the open window's examples, which :meth:`note` kept."""
        return {} if self.run.window is None else self.run.window.losses

    def note(self, nll: Tensor) -> None:
        """Keep what every example of the pass lost; ``nll`` (M,) is that of its targets."""
        window, train = self._window, self.run.splits.train
        indices = window.passes[window.closed]
        parts = nll.detach().double().split([train[i].targets for i in indices])
        window.losses |= {i: float(part.mean()) for i, part in zip(indices, parts, strict=True)}

    def curvature(self, examples: Sequence[int], *, own_labels: bool) -> dict[str, dict[str, Tensor]]:
        """See :meth:`rankwise.adapters.events.context.Context.curvature`."""
        assert isinstance(self.run.trainee, AdapterTrainee)
        chosen = [self.run.splits.train[i] for i in examples]
        return squared_gradients(self.run.trainee, chosen, own_labels=own_labels)
