"""``analyze cycles``: several fine-tunings in a row, each merged before the next starts (OLoRA's open question)."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rankwise.adapters import Adapter, Handle, load, save
from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Axis, Finding, Panel, Row, Table, Word, decide
from rankwise.analysis.request import Request
from rankwise.engine import AdapterTrainee, Forward, Trainee, Watch, evaluate
from rankwise.errors import RunError, UsageError
from rankwise.execution.progress import Progress
from rankwise.methods import build, catalogue
from rankwise.studies.search.rates import edge

METHODS = ("lora", "olora", "pissa", "milora")
TUNED = ("lora", "olora")  # the two that the word compares; the other inits take OLoRA's rate
CYCLES = 3
APART = 0.05
FACTOR = 3.0  # between the rates that are tried


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
    bench.fitting(ranks, list(bench.linear), "whose QR and SVD give the starts")
    known = {card.name for card in catalogue()}
    methods = [m for m in METHODS if m in known]
    order = [(data, other)[k % 2] for k in range(CYCLES)]
    steps = request.steps or max(2 * bench.steps // 5, 2)  # of one cycle
    progress.plan(len(methods) * CYCLES + 2 * len(TUNED), 0)
    rows: list[Row] = []
    rates: dict[str, float] = {}
    tried: list[Row] = []
    for method in methods:
        adapter = build(method, rank=ranks[0], alpha=float(ranks[0]))  # one scale for all: 1
        assert isinstance(adapter, Adapter)
        middle = bench.rate(adapter, steps)
        wanted = [middle / FACTOR, middle, middle * FACTOR] if method in TUNED else [rates["olora"]]
        chosen = _cycles(bench, method, adapter, order, data, steps, wanted)
        rates[method] = chosen.lr
        tried += [{"arm": method, "lr": lr, "nll": nll} for lr, nll in chosen.tried.items()]
        rows += chosen.rows
    last = {m: next(r["nll"] for r in rows if r["arm"] == m and r["cycle"] == CYCLES) for m in methods}
    base, edges = bench.base_nll(data), at_edge(tried)
    missing = [m for m in METHODS if m not in known]
    return Finding(
        analysis="cycles",
        claim="OLoRA stays ahead of LoRA over several fine-tuning cycles (an open question of arXiv 2406.01775).",
        setup={
            **bench.setup(data, other),
            "rank": ranks[0],
            "order": order,
            "methods": methods,
            "steps": steps,
            "learning rates": [f"{method} {lr:.2g}" for method, lr in rates.items()],
        },
        word=judge(last["lora"], last["olora"], base, bracketed=not edges),
        rule=(
            f"Holds if after the last cycle OLoRA's NLL on the first task is below LoRA's by more than {APART:.0%} of "
            "LoRA's gain, does not hold if above by that much, otherwise undecided. LoRA and OLoRA each train the "
            "first cycle at three learning rates and go on with the best, and it is undecided if that is the lowest or "
            "the highest for one of them; scale is 1 for all (alpha = rank)."
        ),
        why=f"After {CYCLES} cycles: {', '.join(f'{m} {v:.3f}' for m, v in last.items())} (base {base:.3f})."
        + told(edges),
        interpretation=(
            "Each cycle trains an adapter, merges it and starts a new one from the merged weights, whose QR or SVD is "
            "then another. The line is the NLL on the first task, which the cycles in between do not train: "
            f"{_between(rows, order, data)} Inits that start from W's own directions change the same directions again "
            "in every cycle."
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
            Table(
                "The first cycle at each learning rate",
                ("method", "learning rate", "NLL on the first task"),
                tuple((r["arm"], r["lr"], r["nll"]) for r in tried),
            ),
        ),
        caveats=(
            "One seed; rates are chosen on the split that is scored, after the first cycle, and kept in later ones.",
            "PiSSA and MiLoRA, which the word does not need, take the rate that OLoRA chose.",
            *([f"Left out, not in this version's catalogue: {', '.join(missing)}."] if missing else []),
        ),
        numbers={"last": last, "base": base, "rates": rates, "tried": tried},
    )


def at_edge(tried: list[Row]) -> list[str]:
    """Return which of the judged methods chose the lowest or the highest rate; one that diverged counts as worse."""
    found = {m: {r["lr"]: r["nll"] if math.isfinite(r["nll"]) else None for r in tried if r["arm"] == m} for m in TUNED}
    return [method for method, scores in found.items() if edge(scores) != "inside"]


def told(edges: list[str]) -> str:
    """Say which methods chose a rate at the edge."""
    return f" The best rate tried is at the edge for {' and '.join(edges)}." if edges else ""


def judge(lora: float, olora: float, base: float, *, bracketed: bool = True) -> Word:
    """Return the word of the last NLLs on the first task; ``base`` is the untouched model's.

    Args:
        bracketed: the best rates of both lie inside those tried.
    """
    if not bracketed:
        return "undecided"
    ahead, margin = lora - olora, APART * abs(base - lora)
    return decide(ahead > margin, ahead < -margin)


def _between(rows: list[Row], order: list[str], first: str) -> str:
    """Say what the cycles on the other task did to the first one."""
    up: list[str] = []
    down: list[str] = []
    nll = {(r["arm"], r["cycle"]): r["nll"] for r in rows}
    for (arm, cycle), now in nll.items():
        if cycle and order[cycle - 1] != first:
            (up if now > nll[arm, cycle - 1] else down).append(arm)
    told = [f"it rose for {', '.join(up)}"] if up else []
    told += [f"it fell, or stayed, for {', '.join(down)}"] if down else []
    return f"there {' and '.join(told)}." if told else "there is none here."


@dataclass(frozen=True)
class Chain:
    """One method's cycles at the rate that was best in the first one, and its NLL there at every rate tried."""

    rows: list[Row]
    lr: float
    tried: dict[float, float]


def _cycles(
    bench: Bench, method: str, adapter: Adapter, order: list[str], first: str, steps: int, rates: list[float]
) -> Chain:
    rows: list[Row] = [{"arm": method, "cycle": 0, "nll": bench.base_nll(first)}]
    handles: list[Handle] = []

    def trained(cycle: int, lr: float, folder: Path) -> float:
        """Train one cycle, merge it, and score the first task."""
        label = f"{method} cycle {cycle} on {order[cycle - 1]} lr={lr:.2g}"
        seed, watch = bench.request.seed + cycle, Keep(steps, folder)
        bench.trial(label, adapter, order[cycle - 1], lr=lr, seed=seed, steps=steps, watch=watch)
        return merged(cycle, folder)

    def merged(cycle: int, folder: Path) -> float:
        handle = load(bench.base.model, folder, name=f"cycle{cycle}")
        handles.append(handle)
        handle.merge()
        return evaluate(Forward(bench.base.model), bench.splits(first).selection).mean

    try:
        with tempfile.TemporaryDirectory() as place:
            tried: dict[float, float] = {}
            for number, lr in enumerate(rates):
                try:
                    tried[lr] = trained(1, lr, Path(place) / f"rate{number}")
                except RunError:  # it diverged: a result, unless there is no other rate
                    if len(rates) == 1:
                        raise
                    tried[lr] = math.inf
                    continue
                handles.pop().detach()
            if min(tried.values()) == math.inf:
                listed = ", ".join(f"{lr:g}" for lr in tried)
                raise RunError(f"{method} diverged at all of the rates {listed}; give a lower --lr.")
            chosen = min(tried, key=lambda lr: (tried[lr], lr))
            for cycle in range(1, len(order) + 1):
                kept = Path(place) / f"rate{rates.index(chosen)}"
                nll = merged(1, kept) if cycle == 1 else trained(cycle, chosen, Path(place) / f"cycle{cycle}")
                rows.append({"arm": method, "cycle": cycle, "nll": nll})
    finally:
        for handle in reversed(handles):
            handle.detach()
    return Chain(rows, chosen, tried)
