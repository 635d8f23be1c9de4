"""The tables of ``rankwise cost``."""

from __future__ import annotations

from collections.abc import Callable

from rich.markup import escape
from rich.table import Table

from rankwise.cli import console
from rankwise.cost import Estimate, Side
from rankwise.cost.memory import ESTIMATED, FORMULAS, PARTS
from rankwise.report import wording

SHARE = "share of the model"


def show(found: Estimate) -> None:
    """Print the estimate to standard output."""
    screen = console.out()
    screen.print(
        f"[bold]{escape(found.model)}[/bold]  {found.parameters:,} parameters, weights in {found.dtype}",
        highlight=False,
        soft_wrap=True,
    )
    if found.adapter:
        screen.print(escape(found.adapter.what), highlight=False, soft_wrap=True)
    screen.print(_sides(found))
    screen.print(_kinds(found))
    for line in _remarks(found):
        screen.print(escape(line), highlight=False, soft_wrap=True)


def _sides(found: Estimate) -> Table:
    sides = [side for side in (found.adapter, found.full) if side is not None]
    names = ["adapter", "full fine-tuning"] if found.adapter else ["full fine-tuning"]
    table = Table("", *names, *(["ratio"] if found.adapter else []))
    for column in table.columns[1:]:
        column.justify = "right"

    def row(label: str, value: Callable[[Side], float | None], written: Callable[[float | None], str]) -> None:
        values = [value(side) for side in sides]
        cells = [written(v) if v else wording.MISSING for v in values]
        if found.adapter:
            small, large = values
            cells.append(wording.percent(small / large) if small and large and label != SHARE else "")
        table.add_row(label, *cells)

    row("trainable parameters", lambda side: side.trainable, wording.count)
    row(SHARE, lambda side: side.share, wording.percent)
    table.add_section()
    for part in PARTS:
        if any(part in side.memory for side in sides):
            mark = " (estimate)" if part in ESTIMATED else ""
            row(f"{part}{mark}", lambda side, part=part: side.memory.get(part), wording.size)  # type: ignore[misc]
    row("memory", lambda side: side.memory_bytes, wording.size)
    table.add_section()
    steps = found.plan.steps
    row("FLOPs a step", lambda side: side.flops_per_step, _scientific)
    row(f"FLOPs of {steps} steps", lambda side: side.flops_per_step * steps, _scientific)
    if found.gemm_flops_per_second:
        row("time a step, at least", lambda side: side.seconds_per_step, _seconds)
        row(f"time of {steps} steps, at least", lambda side: (side.seconds_per_step or 0) * steps, _seconds)
    row("on disk", lambda side: side.disk_bytes, wording.size)
    return table


def _kinds(found: Estimate) -> Table:
    table = Table("module", "how many", "shape", "parameters")
    table.columns[0].overflow = "fold"
    if found.adapter:
        table.add_column("adapter adds")
    for column in table.columns[1:]:
        column.justify = "right"
    for kind in found.kinds:
        cells = [kind.name, str(kind.modules), " x ".join(map(str, kind.shape))]
        cells.append(wording.count(kind.parameters) if kind.parameters else "tied")
        adapter = [wording.count(kind.adapter) if kind.adapter else wording.MISSING] if found.adapter else []
        table.add_row(*map(escape, cells), *adapter)
    total = wording.count(sum(kind.parameters for kind in found.kinds))
    table.add_section()
    table.add_row("all", "", "", total, *([wording.count(found.adapter.trainable)] if found.adapter else []))
    return table


def _remarks(found: Estimate) -> list[str]:
    plan = found.plan
    lines = [
        f"A step: {plan.batch} examples of {plan.length} tokens, {plan.targets} of them in the loss, "
        f"{plan.micro_batch} examples a pass.",
        f"Estimates, without recomputation: activations = {FORMULAS['activations']}; logits = {FORMULAS['logits']}; "
        "b is the bytes of a weight. All other memory is exact, for tensors: libraries, temporaries and the allocator "
        "come on top, and `rankwise study` measures the peak.",
        "Full fine-tuning here trains a copy beside the frozen base, with float32 master weights; a trainer that "
        "updates in place needs one base less.",
    ]
    if rate := found.gemm_flops_per_second:
        lines.append(
            f"Times are FLOPs over this machine's matrix rate ({rate / 1e9:.0f} GFLOP/s, just measured). Attention "
            "runs below that rate, and element-wise work and the optimizer come on top."
        )
    return [*lines, *found.notes]


def _scientific(value: float | None) -> str:
    return f"{value:.3g}" if value else wording.MISSING


def _seconds(value: float | None) -> str:
    if value is None or value >= 60:
        return wording.duration(value)
    return f"{value:.2g} s"
