"""EWC: Overcoming catastrophic forgetting in neural networks, Kirkpatrick et al., 2016, arXiv 1612.00796, equation 3.

    loss + (weight / 2) sum over i of F_i (theta_i - theta*_i)^2

theta* is where the task before ended, F the diagonal Fisher information there: the mean over training examples of the
squared gradient of their NLL with their own targets. One F is kept for all tasks, the running sum (as online EWC with
no decay), beside the last theta*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.context import Context
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition


@dataclass(frozen=True)
class ElasticWeights(Event):
    """Hold the factors where earlier tasks need them.

    Args:
        weight: lambda.
        examples: of the task, from which F is estimated at its end.
    """

    name: ClassVar[str] = "elastic-weights"
    reads_examples: ClassVar[bool] = True
    weight: float = 100.0
    examples: int = 32

    def __post_init__(self) -> None:
        if not 0 < self.weight < 1e30:
            raise UsageError(f"weight of {self.name!r} must be a positive number, found {self.weight!r}.")
        if isinstance(self.examples, bool) or not isinstance(self.examples, int) or self.examples < 1:
            raise UsageError(
                f"examples of {self.name!r} must be a whole number of at least 1, found {self.examples!r}."
            )

    def describe(self) -> str:
        """Return for instance ``elastic-weights, weight 100``."""
        return f"{self.name}, weight {self.weight:g}"

    def check(self, adapter: Composition) -> None:
        """An adapter whose tensors are its own."""
        if not adapter.parametrization.ranked:
            raise UsageError(
                f"event {self.name!r} holds factors and needs a ranked parametrization such as 'low-rank'."
            )

    def after_backward(self, ctx: Context) -> None:
        """Add the gradient of the penalty."""
        if not ctx.state.get("tasks"):
            return
        for module in ctx.modules:
            factors = ctx.factors(module)
            gradients = ctx.gradients(module)
            for name, gradient in gradients.items():
                moved = factors[name] - ctx.state[f"anchor.{module}.{name}"]
                gradient.add_(ctx.state[f"fisher.{module}.{name}"] * moved, alpha=self.weight)
            ctx.write_gradients(module, gradients)

    def at_end(self, ctx: Context) -> None:
        """Estimate F and remember where the factors are."""
        chosen = list(range(min(self.examples, ctx.training_examples)))
        found = ctx.curvature(chosen, own_labels=True)
        with ctx.firing(measure=False) as note:
            total = 0.0
            for module in ctx.modules:
                for name, value in ctx.factors(module).items():
                    fisher = found[module][name] / len(chosen)
                    earlier = ctx.state.get(f"fisher.{module}.{name}", torch.zeros_like(fisher))
                    ctx.state[f"fisher.{module}.{name}"] = earlier + fisher
                    ctx.state[f"anchor.{module}.{name}"] = value.clone()
                    total += float(fisher.sum())
            ctx.state["tasks"] = ctx.state.get("tasks", 0) + 1
            note |= {"tasks": ctx.state["tasks"], "fisher": total, "examples": len(chosen)}
