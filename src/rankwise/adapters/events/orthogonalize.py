"""Orthogonalize A while training, in the ways that are tried on small, repetitive data, and in ways that keep B A.

    qr             A <- Q_A^T, B <- Q_B      throws R away, so B A is no longer what was learned: the loss jumps
    row_norm       A <- rows of length one, B <- columns of length one: no angle changes
    row_norm_fold  the same rows, lengths moved into B
    qr_fold        A <- Q^T, B <- B R^T                 B A stays, rows orthonormal
    polar_fold     A <- c P^-1 A, B <- B P / c          B A stays, rows orthogonal, the smallest move of A
    ema, ema_fold  a part of the way to polar, without and with folding
    gradual        a gradient step towards orthogonal rows, not folded
    measure        changes nothing and records the same: what runs without the event are compared by

Folded kinds carry Adam's moments along: the first exactly (g_A -> M^-T g_A, g_B -> g_B M^T), the second by the squared
entries of the same matrix, which has no exact form. The others leave the moments alone.

Events fall on optimizer steps. ``micro_batches`` counts passes instead (there are training logs with an event after
every third micro-batch); inside an accumulation window only with ``inside_window``, for the gradients that are there
already belong to the old factors. See docs/design/streams.md#orthogonalizing-while-training
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.context import Context
from rankwise.adapters.events.orthogonal_forms import (
    FORMS,
    Form,
    coherence,
    cosines,
    product_norm,
    signed_qr,
    unit_columns,
)
from rankwise.errors import RunError, UsageError, unknown

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition

Factors = Mapping[str, Mapping[str, Tensor]]

MEASURE = "measure"
KINDS = (*FORMS, MEASURE)
FOLDED = frozenset(kind for kind in FORMS if kind.endswith("_fold"))
BOTH = frozenset({"qr", "row_norm"})  # kinds with a form for B
PARTIAL = frozenset({"ema", "ema_fold", "gradual"})  # kinds that ``strength`` is for


@dataclass(frozen=True)
class Orthogonalize(Event):
    """Orthogonalize every adapted module, every ``every`` steps and at the end of training.

    Args:
        kind: one of ``KINDS``.
        every: steps (or passes, with ``micro_batches``) between two events; 0: at the end only.
        threshold: inside training act only where the mean ``|cos|`` between rows of A is above it; 0: always.
        strength: share of the way of ``ema`` and ``ema_fold``, step of ``gradual`` (at most 0.5).
        columns: ``qr`` and ``row_norm`` change B too.
        at_the_end: act after the last step too, whatever the threshold: the border between two tasks.
        micro_batches: count passes instead of steps.
        inside_window: allow passes inside an accumulation window.
    """

    name: ClassVar[str] = "orthogonalize"
    kind: str = "polar_fold"
    every: int = 20
    threshold: float = 0.0
    strength: float = 0.1
    columns: bool = True
    at_the_end: bool = False
    micro_batches: bool = False
    inside_window: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("kind of orthogonalization", str(self.kind), KINDS)
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 0:
            raise UsageError(f"every must be a whole number of at least 0 (0: at the end only), found {self.every!r}.")
        if self.every == 0 and not self.at_the_end:
            raise UsageError("an orthogonalization with every 0 never happens; give at_the_end, or every of 1 or more.")
        if not 0 <= self.threshold < 1:
            raise UsageError(f"threshold is a mean |cos| in [0, 1), found {self.threshold!r}.")
        most = 0.5 if self.kind == "gradual" else 1.0
        if not 0 < self.strength <= most:
            raise UsageError(f"strength of {self.kind} must be above 0 and at most {most:g}, found {self.strength!r}.")
        if self.inside_window and not self.micro_batches:
            raise UsageError("inside_window is about a cadence counted in micro_batches; set both or neither.")

    @property
    def interval(self) -> int | None:
        """Every ``every`` steps."""
        return None if self.micro_batches else self.every or None

    @property
    def passes(self) -> int | None:
        """Every ``every`` passes, when counted in them."""
        return self.every if self.micro_batches and self.every else None

    @property
    def in_windows(self) -> bool:
        """As ``inside_window`` says."""
        return self.inside_window

    @property
    def acts_after_last(self) -> bool:
        """As ``at_the_end`` says."""
        return self.at_the_end

    def describe(self) -> str:
        """Return for instance ``polar_fold every 20 steps``."""
        unit = "micro-batches" if self.micro_batches else "steps"
        parts = [f"{self.kind}{f' {self.strength:g}' if self.kind in PARTIAL else ''}"]
        parts += [f"every {self.every} {unit}"] if self.every else []
        parts += [f"above mean |cos| {self.threshold:g}"] if self.threshold else []
        return " ".join(parts + (["at the end"] if self.at_the_end else []))

    def check(self, adapter: Composition) -> None:
        """Factors A and B must exist and train."""
        if adapter.parametrization.offers != "pair":
            raise UsageError(
                f"event {self.name!r} changes A and B of parametrization 'low-rank', found "
                f"{adapter.parametrization.name!r}."
            )
        if frozen := adapter.freezing.describe():
            raise UsageError(f"event {self.name!r} changes A and B, so both must train; found {frozen}.")

    def at_interval(self, ctx: Context, step: int) -> None:
        """Act on an optimizer step."""
        if not (self.at_the_end and step == ctx.steps):  # at_end follows
            self._act(ctx, self.threshold)

    def at_passes(self, ctx: Context, number: int) -> None:
        """Act after a pass."""
        if not (self.at_the_end and ctx.taken and ctx.step == ctx.steps):  # at_end follows
            self._act(ctx, self.threshold)

    def at_end(self, ctx: Context) -> None:
        """Act at the border between two tasks."""
        if self.at_the_end:
            self._act(ctx, 0.0)

    def _act(self, ctx: Context, threshold: float) -> None:
        factors = {module: ctx.factors(module) for module in ctx.modules}
        before = _coherence(factors)
        if threshold and before["mean"] <= threshold:
            with ctx.firing(measure=False) as note:
                note |= {"kind": self.kind, "modules": 0, "coherence_before": before, "threshold": threshold}
            return
        with ctx.firing() as note:
            rounded = _rounded_probe(ctx, factors)
            changed = dict(factors) if self.kind == MEASURE else self._change(ctx, factors)
            note |= {
                "kind": self.kind,
                "modules": len(changed),
                "text": "" if self.kind == MEASURE else f"Orthogonalized {len(changed)} modules",
                "coherence_before": before,
                "coherence_after": _coherence(changed),
                "cosines_moved": _cosines_moved(factors, changed),
                "relative_change": _relative_change(factors, changed),
                "bf16_probe_loss_before": rounded,
                "bf16_probe_loss_after": _rounded_probe(ctx, {m: ctx.factors(m) for m in ctx.modules}),
            }

    def _change(self, ctx: Context, factors: Factors) -> dict[str, dict[str, Tensor]]:
        changed: dict[str, dict[str, Tensor]] = {}
        for modules in _groups(factors):
            A, B = (_stacked(factors, modules, name) for name in ("A", "B"))
            _room(modules[0], A, B, self.kind == "qr" and self.columns)
            form = FORMS[self.kind](A, self.strength)
            new = self._columns(B, form)
            for i, module in enumerate(modules):
                like = factors[module]["A"]
                changed[module] = {"A": form.A[i].to(like), "B": new[i].to(like)}
                ctx.write(module, changed[module])
                if self.kind in FOLDED:
                    ctx.transport_optimizer(module, "A", form.inverse[i].mT, dim=0)
                    ctx.transport_optimizer(module, "B", form.M[i], dim=1)
        return changed

    def _columns(self, B: Tensor, form: Form) -> Tensor:
        if self.kind in FOLDED:
            return B @ form.inverse
        if self.columns and self.kind in BOTH:
            return signed_qr(B)[0] if self.kind == "qr" else unit_columns(B)
        return B


def _groups(factors: Factors) -> list[list[str]]:
    groups: dict[Any, list[str]] = {}
    for module, own in factors.items():
        groups.setdefault((own["A"].shape, own["B"].shape), []).append(module)
    return list(groups.values())


def _stacked(factors: Factors, modules: list[str], name: str) -> Tensor:
    return torch.stack([factors[module][name] for module in modules]).double()


def _room(module: str, A: Tensor, B: Tensor, columns: bool) -> None:
    rank, d_in, d_out = A.shape[-2], A.shape[-1], B.shape[-2]
    if rank > d_in or (columns and rank > d_out):
        raise RunError(
            f"{module} is {d_out} x {d_in}: {rank} rows cannot be orthogonal there; use a rank of at most "
            f"{min(d_in, d_out)}, or a placement without it."
        )


def _coherence(factors: Factors) -> dict[str, float]:
    found = [coherence(_stacked(factors, modules, "A")) for modules in _groups(factors)]
    return {
        "max": float(torch.cat([most for most, _ in found]).max()),
        "mean": float(torch.cat([mean for _, mean in found]).mean()),
    }


def _cosines_moved(factors: Factors, changed: Factors) -> float:
    """Return the largest change of a cosine between two rows of one A."""
    moved = [cosines(_stacked(changed, m, "A")) - cosines(_stacked(factors, m, "A")) for m in _groups(factors)]
    return max(float(difference.abs().max()) for difference in moved)


def _relative_change(factors: Factors, changed: Factors) -> float | None:
    """Return |change of B A| / |B A|, all modules together; None while B A is zero."""
    moved = whole = 0.0
    for modules in _groups(factors):
        A, B = (_stacked(factors, modules, name) for name in ("A", "B"))
        new_A, new_B = (_stacked(changed, modules, name) for name in ("A", "B"))
        moved += float(product_norm(torch.cat([new_A, A], dim=-2), torch.cat([new_B, -B], dim=-1)).square().sum())
        whole += float(product_norm(A, B).square().sum())
    return (moved / whole) ** 0.5 if whole else None


def _rounded_probe(ctx: Context, factors: Factors) -> float | None:
    """Return the probe loss with the factors rounded to bfloat16, as a run in that precision would compute."""
    for module, own in factors.items():
        ctx.write(module, {name: own[name].bfloat16() for name in ("A", "B")})
    loss = ctx.probe()
    for module, own in factors.items():
        ctx.write(module, {name: own[name] for name in ("A", "B")})
    return loss
