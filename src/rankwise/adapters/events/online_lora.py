"""Online-LoRA: Task-free Online Continual Learning via Low Rank Adaptation, Wei et al., 2024, arXiv 2411.05663.

Nobody says where a task ends. When the loss of the last ``window`` steps has come down and lies still, what was learned
is frozen beside the base and a new pair starts, held back where it matters (Omega, one number per entry of A and B):

    c-th plateau:  Omega <- (1/c) sum over x in the hard buffer of g_x^2 + (1 - 1/c) Omega      g_x: gradient of the NLL
                   of what the model itself says about x
    every step:    loss + (weight / 2) sum of Omega theta^2              theta: the new pair's A and B
    hard buffer:   the ``buffer`` examples with the highest loss among those of the step and those in it

A plateau needs the flag *new peak*, which is on at first and again when the window's mean exceeds mean + std of the
last plateau.

Deviations from the paper: the thresholds are relative (mean below ``level`` of the highest mean since the last plateau,
std below ``spread`` of the mean), since 5.2 and 0.02 are of its images. All samples of the buffer count: in the
authors' code the parameter iterators are used up by the first. Products are added, not A's and B's. Between two data
sets of a stream the optimizer and the buffer start anew; Omega, the flag and the count are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any, ClassVar

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.context import Context
from rankwise.errors import UsageError


@dataclass(frozen=True)
class OnlineLoRA(Event):
    """Freeze and start anew at plateaus of the loss.

    Args:
        weight: lambda.
        window: steps that a plateau is judged by.
        level, spread: thresholds, relative.
        buffer: hard examples kept.
        most: plateaus acted on in one run, at most: every one adds the rank once more.
    """

    name: ClassVar[str] = "online-lora"
    needs: ClassVar[str] = "pair"
    doing: ClassVar[str] = "merges B A and restarts"
    draws_starts: ClassVar[bool] = True
    stores: ClassVar[bool] = True
    reads_losses: ClassVar[bool] = True
    reads_examples: ClassVar[bool] = True
    weight: float = 2000.0
    window: int = 5
    level: float = 0.9
    spread: float = 0.1
    buffer: int = 4
    most: int = 4

    def __post_init__(self) -> None:
        for field in ("window", "buffer", "most"):
            value = getattr(self, field)
            least = 2 if field == "window" else 1
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(
                    f"{field} of {self.name!r} must be a whole number of at least {least}, found {value!r}."
                )
        for field in ("weight", "level", "spread"):
            if not 0 < getattr(self, field) < 1e30:
                raise UsageError(f"{field} of {self.name!r} must be a positive number, found {getattr(self, field)!r}.")

    def describe(self) -> str:
        """Return for instance ``online-lora, weight 2000``."""
        return f"{self.name}, weight {self.weight:g}"

    def after_backward(self, ctx: Context) -> None:
        """Add the gradient of (weight / 2) Omega theta^2."""
        if not ctx.state.get("count"):
            return
        for module in ctx.modules:
            factors = ctx.factors(module)
            gradients = ctx.gradients(module)
            for name, gradient in gradients.items():
                gradient.add_(ctx.state[f"omega.{module}.{name}"] * factors[name], alpha=self.weight)
            ctx.write_gradients(module, gradients)

    def after_step(self, ctx: Context, step: int) -> None:
        """Watch the loss; act at a plateau."""
        losses = ctx.losses()
        kept = {int(i): float(loss) for i, loss in ctx.state.get("buffer", [])} | dict(losses)
        hard = sorted(kept.items(), key=lambda item: -item[1])[: self.buffer]
        ctx.state["buffer"] = [[i, loss] for i, loss in hard]
        if (
            self.watch(ctx.state, fmean(losses.values()))
            and step < ctx.steps
            and ctx.state.get("merges", 0) < self.most
        ):
            self._consolidate(ctx, [i for i, _ in hard])

    def watch(self, state: dict[str, Any], loss: float) -> bool:
        """Take the loss of one step into ``state``; return whether a plateau is reached now."""
        recent = [*state.get("losses", []), loss][-self.window :]
        state["losses"] = recent
        if len(recent) < self.window:
            return False
        mean, std = fmean(recent), pstdev(recent)
        if not state.get("peak", True):
            if mean > state["mean"] + state["std"]:
                state["peak"], state["highest"] = True, mean
            return False
        highest = max(state.get("highest", mean), mean)
        state["highest"] = highest
        if mean < self.level * highest and std < self.spread * mean:
            state |= {"peak": False, "mean": mean, "std": std}
            return True
        return False

    def _consolidate(self, ctx: Context, hard: Sequence[int]) -> None:
        count = int(ctx.state.get("count", 0)) + 1
        found = ctx.curvature(hard, own_labels=False)
        with ctx.firing() as note:
            for module in ctx.modules:
                for name, squares in found[module].items():
                    key = f"omega.{module}.{name}"
                    new = squares / count
                    ctx.state[key] = new + (1 - 1 / count) * ctx.state[key] if count > 1 else new
                ctx.freeze_update(module)
                fresh = ctx.fresh(module)
                ctx.write(module, fresh)
                for name in fresh:
                    ctx.reset_optimizer(module, name)
            ctx.state["count"] = count
            ctx.state["merges"] = ctx.state.get("merges", 0) + 1
            note |= {
                "plateau": count,
                "hard": list(hard),
                "text": f"Plateau {count}: {len(ctx.modules)} modules frozen",
            }
