"""The pruning of SoRA, Ding et al., 2023, arXiv 2311.11696, equation 6: a proximal step on the gate.

After every optimizer step:  e <- sign(e) max(|e| - xi, 0)         e: (rank,), the paper's g

which is the proximal step of xi |e|_1: entries that no gradient holds up reach zero and stay there while nothing pulls
them back. ``last`` lets xi grow: log-linearly over the run from ``xi`` to ``last``. ``total`` says instead what all
steps of a run take together, whatever their number: xi = total / steps. The gates start at N(0, 1), so that a total of
0.25 closes a fifth of them where no gradient acts.

Deviations from the paper: its schedule trains one whole run for every xi, starting from the one before; here xi moves
inside one run. The smooth part is AdamW's, at the run's learning rate. xi is applied as it is, as in the authors' code,
not times the learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import share
from rankwise.adapters.events.context import Context
from rankwise.errors import UsageError


def soft_threshold(e: Tensor, xi: float) -> Tensor:
    """Return the minimizer of |z - e|^2 / 2 + xi |z|_1."""
    return e.sign() * (e.abs() - xi).clamp(min=0)


@dataclass(frozen=True)
class SoftThreshold(Event):
    """Pulls every gate towards zero by xi, after every step."""

    name: ClassVar[str] = "soft-threshold"
    needs: ClassVar[str] = "switch"
    xi: float = 1e-3
    last: float = 0.0
    total: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "xi", share(self.name, "xi", self.xi, 0.0, 1e30, ends="()"))
        object.__setattr__(self, "last", share(self.name, "last", self.last, 0.0, 1e30, ends="[)"))
        object.__setattr__(self, "total", share(self.name, "total", self.total, 0.0, 1e30, ends="[)"))
        if self.last and self.total:
            raise UsageError(f"total and last both say how xi goes over the run of {self.name!r}; use one.")
        if self.last and self.last < self.xi:
            raise UsageError(f"last must be at least xi, to which it grows, found {self.last:g} and {self.xi:g}.")

    def describe(self) -> str:
        """Return for instance ``gates thresholded by 0.25 over the run``."""
        if self.total:
            return f"gates thresholded by {self.total:g} over the run"
        grows = f", growing to {self.last:g}" if self.last else ""
        return f"gates thresholded by {self.xi:g}{grows}"

    def at(self, step: int, steps: int) -> float:
        """Return xi of step ``step``, from 1."""
        if self.total:
            return self.total / steps
        if not self.last or steps == 1:
            return self.xi
        return self.xi * (self.last / self.xi) ** ((step - 1) / (steps - 1))

    def after_step(self, ctx: Context, step: int) -> None:
        """Threshold every layer's gates; measured ten times in a run."""
        xi = self.at(step, ctx.steps)
        with ctx.firing(measure=step == ctx.steps or step % max(1, ctx.steps // 10) == 0) as note:
            gates = {module: soft_threshold(ctx.factors(module)["e"], xi) for module in ctx.modules}
            for module, e in gates.items():
                ctx.write(module, {"e": e})
            note["kept"], note["xi"] = sum(int(e.count_nonzero()) for e in gates.values()), xi
