"""LoRA-drop: Zhou et al., 2024, arXiv 2402.07721: a short training tells which layers need an adapter of their own.

After ``stage`` of the run, for every kind of module (q_proj, k_proj, ...) and over the examples of that step:

    g_i = sum over tokens x of |s B_i A_i x|^2,        I_i = g_i / (sum of g over the layers)

The layers with the highest I, up to a sum of ``threshold``, keep an adapter of their own; all others of that kind and
shape share one. Then all start again, from fresh factors and an empty optimizer.

    shared "trainable"   they share one adapter: one gradient (the sum), one step, the same values everywhere
           "frozen"      they share one that keeps its start (another reading of the paper)
           "none"        they have none: their A and B are zero and stay so

Deviations from the paper: stage 1 is a part of the run and not a run of its own on a tenth of the data, and I is
measured on its last step's examples. Layers that share hold copies that are equal bit by bit, not one tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import share, steps_of
from rankwise.adapters.events.context import Context
from rankwise.errors import unknown

SHARED = ("trainable", "frozen", "none")


def smallest_prefix(importance: dict[str, float], threshold: float) -> list[str]:
    """Return the names with the highest importance whose sum first reaches ``threshold``; zeros never."""
    kept: list[str] = []
    total = 0.0
    for name, value in sorted(importance.items(), key=lambda item: -item[1]):
        if value == 0 or total >= threshold - 1e-12:
            break
        kept.append(name)
        total += value
    return kept


@dataclass(frozen=True)
class OutputSelection(Event):
    """Picks the layers whose adapters say most, and lets the others share."""

    name: ClassVar[str] = "output-selection"
    needs: ClassVar[str] = "pair"
    doing: ClassVar[str] = "restarts and shares A and B"
    draws_starts: ClassVar[bool] = True
    reads_examples: ClassVar[bool] = True
    threshold: float = 0.9
    stage: float = 0.1
    shared: Literal["trainable", "frozen", "none"] = "trainable"

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold", share(self.name, "threshold", self.threshold, ends="(]"))
        object.__setattr__(self, "stage", share(self.name, "stage", self.stage, ends="()"))
        if self.shared not in SHARED:
            raise unknown("shared", str(self.shared), SHARED)

    def describe(self) -> str:
        """Return for instance ``own adapters for 90% of the output, the rest shared (trainable)``."""
        return f"own adapters for {self.threshold:.0%} of the output, the rest shared ({self.shared})"

    def after_backward(self, ctx: Context) -> None:
        """In the second stage: one gradient for those that share, none for those that rest."""
        groups: dict[str, list[str]] | None = ctx.state.get("groups")
        if not groups:
            return
        with ctx.firing(measure=False) as note:
            for leader, members in groups.items():
                if self.shared == "trainable":
                    totals = ctx.gradients(leader)
                    for member in members[1:]:
                        own = ctx.gradients(member)
                        for factor, total in totals.items():
                            total.add_(own[factor])
                    ctx.write_gradients(leader, totals)
                for member in members[self.shared == "trainable" :]:
                    for factor in ("A", "B"):
                        ctx.drop_gradient(member, factor)
            note["sharing"] = sum(map(len, groups.values()))

    def after_step(self, ctx: Context, step: int) -> None:
        """Select after the first stage; then copy what is shared."""
        if step == max(1, steps_of(self.stage, ctx.steps)) and step < ctx.steps:
            self._select(ctx)
        elif (groups := ctx.state.get("groups")) and self.shared == "trainable":
            with ctx.firing(measure=step == ctx.steps) as note:
                for leader, members in groups.items():
                    for member in members[1:]:
                        ctx.write(member, ctx.factors(leader))
                note["copied"] = sum(len(members) - 1 for members in groups.values())

    def _select(self, ctx: Context) -> None:
        squares = dict.fromkeys(ctx.modules, 0.0)
        factors = {module: ctx.factors(module) for module in ctx.modules}

        def see(module: str, x: Tensor) -> None:
            A, B = factors[module]["A"], factors[module]["B"]
            squares[module] += float((ctx.scaling(module) * (x.to(A) @ A.T) @ B.T).double().square().sum())

        ctx.watch(see)
        kinds: dict[str, list[str]] = {}
        for module in ctx.modules:
            own = factors[module]
            key = f"{module.rpartition('.')[2]} {tuple(own['B'].shape)} {tuple(own['A'].shape)}"
            kinds.setdefault(key, []).append(module)
        groups: dict[str, list[str]] = {}
        importance: dict[str, float] = {}
        for modules in kinds.values():
            total = sum(squares[module] for module in modules)
            own_share = {module: squares[module] / total if total else 0.0 for module in modules}
            importance |= own_share
            kept = set(smallest_prefix(own_share, self.threshold))
            if rest := [module for module in modules if module not in kept]:
                groups[rest[0]] = rest
        with ctx.firing() as note:
            for module in ctx.modules:
                fresh = ctx.fresh(module)
                ctx.write(module, fresh)
                for factor in fresh:
                    ctx.reset_optimizer(module, factor)
            for leader, members in groups.items():
                for member in members[1:]:
                    ctx.write(member, ctx.factors(leader))
                if self.shared == "none":
                    for member in members:
                        ctx.write(member, {name: value.zero_() for name, value in ctx.factors(member).items()})
            sharing = sorted(module for members in groups.values() for module in members)
            note["importance"] = importance
            note["shared"] = f"{len(sharing)} of {len(ctx.modules)}"
            note["sharing"] = sharing
            left = [*(m for m in ctx.modules if m not in sharing), *(groups if self.shared == "trainable" else ())]
            note["trainable"] = sum(value.numel() for module in left for value in factors[module].values())
        ctx.state["groups"] = groups
