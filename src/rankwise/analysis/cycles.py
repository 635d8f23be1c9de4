"""``analyze cycles``: several fine-tunings in a row, each merged before the next starts (OLoRA's open question)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rankwise.adapters import Adapter, Handle, load, save
from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Axis, Finding, Panel, Row, Table, decide
from rankwise.analysis.request import Request
from rankwise.engine import AdapterTrainee, Forward, Trainee, Watch, evaluate
from rankwise.errors import UsageError
from rankwise.methods import build, catalogue
from rankwise.studies.progress import Progress

METHODS = ("lora", "olora", "pissa", "milora")
CYCLES = 3
APART = 0.05


class Keep(Watch):
    """Saves the adapter after the last step."""

    def __init__(self, steps: int, folder: Path) -> None:
        self.steps, self.folder = steps, folder

    def weights(self, step: int, trainee: Trainee) -> None:
        """Write it once."""
        if step == self.steps:
            assert isinstance(trainee, AdapterTrainee)
            save(trainee.handle, self.folder)


def run(request: Request, progress: Progress) -> Finding:
    """Per method: train on the tasks in turn, merge, start anew from the merged weights; score the first task."""
    ranks = request.ranks_or((4,), (32,))
    if len(ranks) != 1:
        raise UsageError(f"cycles works at one rank; give --ranks as one number, found {len(ranks)}.")
    data, other = request.tasks("word-problems", "code-book")
    bench = Bench(request, progress)
    known = {card.name for card in catalogue()}
    methods = [m for m in METHODS if m in known]
    order = [(data, other)[k % 2] for k in range(CYCLES)]
    steps = request.steps or max(bench.steps // 2, 1)  # of one cycle
    progress.plan(len(methods) * CYCLES, 0)
    rows: list[Row] = []
    for method in methods:
        adapter = build(method, rank=ranks[0])
        assert isinstance(adapter, Adapter)
        rows += _cycles(bench, method, adapter, order, data, steps)
    last = {m: next(r["nll"] for r in rows if r["arm"] == m and r["cycle"] == CYCLES) for m in methods}
    base = bench.base_nll(data)
    ahead, margin = last["lora"] - last["olora"], APART * abs(base - last["lora"])
    missing = [m for m in METHODS if m not in known]
    return Finding(
        analysis="cycles",
        claim="OLoRA stays ahead of LoRA over several fine-tuning cycles (an open question of arXiv 2406.01775).",
        setup={**bench.setup(data, other), "rank": ranks[0], "order": order, "methods": methods, "steps": steps},
        word=decide(ahead > margin, ahead < -margin),
        rule=(
            f"Holds if after the last cycle OLoRA's NLL on the first task is below LoRA's by more than {APART:.0%} of "
            "LoRA's gain, does not hold if above by that much."
        ),
        why=f"After {CYCLES} cycles: " + ", ".join(f"{m} {v:.3f}" for m, v in last.items()) + f" (base {base:.3f}).",
        interpretation=(
            "Each cycle trains an adapter, merges it and starts a new one from the merged weights, whose QR or SVD is "
            "then another. The line is the NLL on the first task: it falls in the cycles that train it and rises when "
            "the other task is trained in between. Inits that start from W's own directions change the same directions "
            "again in every cycle."
        ),
        panels=(
            Panel(
                "NLL on the first task after each cycle",
                "lines",
                tuple(rows),
                Axis("cycle", "cycles trained and merged"),
                Axis("nll", f"selection NLL on {data}"),
                "arm",
            ),
        ),
        tables=(
            Table(
                "After each cycle",
                ("method", "cycle", "trained on", "NLL on the first task"),
                tuple((r["arm"], r["cycle"], order[r["cycle"] - 1] if r["cycle"] else "-", r["nll"]) for r in rows),
            ),
        ),
        caveats=(
            "One seed; each method at the middle of its own grid of learning rates.",
            *([f"Left out, not in this version's catalogue: {', '.join(missing)}."] if missing else []),
        ),
        numbers={"last": last, "base": base},
    )


def _cycles(bench: Bench, method: str, adapter: Adapter, order: list[str], first: str, steps: int) -> list[Row]:
    rows: list[Row] = [{"arm": method, "cycle": 0, "nll": bench.base_nll(first)}]
    handles: list[Handle] = []
    try:
        with tempfile.TemporaryDirectory() as place:
            for cycle, data in enumerate(order, 1):
                folder = Path(place) / str(cycle)
                label = f"{method} cycle {cycle} on {data}"
                seed = bench.request.seed + cycle
                bench.trial(label, adapter, data, seed=seed, steps=steps, watch=Keep(steps, folder))
                handle = load(bench.base.model, folder, name=f"cycle{cycle}")
                handle.merge()
                handles.append(handle)
                nll = evaluate(Forward(bench.base.model), bench.splits(first).selection).mean
                rows.append({"arm": method, "cycle": cycle, "nll": nll})
    finally:
        for handle in reversed(handles):
            handle.detach()
    return rows
