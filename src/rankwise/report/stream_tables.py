"""Tables of a stream's page beside the measures: R, the reference, router, growth, cost, saved adapters, tasks.

Documents of an older rankwise have fewer fields; what they lack is left out.
"""

from __future__ import annotations

from typing import Literal

from rankwise.report.simple_page import Table
from rankwise.report.wording import MISSING, duration, operations, size
from rankwise.studies.results.schema import Growth, JointOf, Measure, Metric, StrategyOf, StreamResults
from rankwise.studies.results.schema import StreamDocument as Document

BYTES = 4  # of a number that is kept: float32
LIMIT = (
    "The router works inside `rankwise chain`: `rankwise export`, `generate` and `eval` take one expert's folder and "
    "do not route."
)
ROUTER = " Its centroids and radii are in router.json beside the experts, for a server of your own."


def percent(value: Measure | None, *, signed: bool = False) -> str:
    """An estimate with its interval, in percent."""
    if not value:
        return MISSING
    mark = "+" if signed else ""
    low, high = 100 * value["low"], 100 * value["high"]
    return f"{100 * value['estimate']:{mark}.1f} % ({low:{mark}.1f} to {high:{mark}.1f})"


def nats(value: Measure | None, *, signed: bool = False) -> str:
    """An estimate with its interval, in nats."""
    if not value:
        return MISSING
    mark = "+" if signed else ""
    return f"{value['estimate']:{mark}.3f} ({value['low']:{mark}.3f} to {value['high']:{mark}.3f})"


def floor(document: Document) -> float:
    """The share of right answers that says nothing: a few lucky ones, or always the commonest reply of every task."""
    from rankwise.stats.single import FLOOR  # brings numpy

    tasks = document["results"]["tasks"]
    return max(FLOOR, sum(task.get("commonest", 0.0) for task in tasks) / len(tasks))


def leading(document: Document) -> tuple[Metric, Metric]:
    """The two metrics, the one to read first: exact match, unless no strategy ever gets above its floor."""
    found = document["results"]
    shares = [s["measures"]["exact_match"][name] for s in found["strategies"] for name in ("AP", "learned")]
    shares += [found["joint"]["AP"]["exact_match"]] if found["joint"] else []
    above = any(share["estimate"] > floor(document) for share in shares)
    return ("exact_match", "nll") if above else ("nll", "exact_match")


def more_tables(document: Document) -> list[Table]:
    """Every table that the document has numbers for."""
    found = document["results"]
    tables = [_joint(found), _matrix(found), _router(found), _growth(found), _cost(document), _saved(found)]
    return [table for table in [*tables, _tasks(found)] if table is not None]


def complete(found: StreamResults) -> bool:
    """Whether growth counts all that is kept; older documents counted pairs alone."""
    return all("memory" in entry for s in found["strategies"] for entry in s["growth"])


def kept(entry: Growth) -> int:
    """How many numbers are kept after a task: pairs, memories of events, centroids."""
    return entry["numbers"] + entry.get("memory", 0) + entry.get("centroids", 0)


def _joint(found: StreamResults) -> Table | None:
    beside = [(s["label"], s.get("versus_joint")) for s in found["strategies"]]
    rows = [
        (label, percent(value["exact_match"], signed=True), nats(value["nll"], signed=True))
        for label, value in beside
        if value
    ]
    if not rows:
        return None
    note = "AP minus that of all tasks mixed, paired by seed and test example; the orders of a seed are averaged first."
    return Table(
        "Beside all tasks mixed", ("strategy", "exact match", "minus NLL per token"), rows, note, "beside-joint"
    )


def _matrix(found: StreamResults) -> Table:
    names = [task["id"] for task in found["tasks"]]
    rows = []
    for strategy in found["strategies"]:
        orders = list(dict.fromkeys(tuple(chain["order"]) for chain in strategy["chains"]))
        for order in orders:
            own = [chain["R"] for chain in strategy["chains"] if tuple(chain["order"]) == order]
            for place, after in enumerate(("the untouched base", *order)):
                cells = []
                for name in names:
                    column = order.index(name)
                    match, nll = (
                        sum(R[metric][place][column] for R in own) / len(own) for metric in ("exact_match", "nll")
                    )
                    cells.append(f"{match:.1%} ({nll:.3f})")
                rows.append((strategy["label"], " > ".join(order), f"{place} {after}", *cells))
    note = "Exact match, and the NLL per target token in brackets; a row after every task, mean over seeds."
    return Table("R", ("strategy", "order", "after", *names), rows, note, "R-table")


def _router(found: StreamResults) -> Table | None:
    rows = [
        (
            s["label"],
            f"{s['router']['right']:.1%}",
            f"{s['router']['abstained']:.1%}",
            percent(s["router"]["oracle_gap"]["exact_match"], signed=True),
        )
        for s in found["strategies"]
        if s["router"]
    ]
    header = ("strategy", "right task", "abstained to the base", "gain of being told the task")
    note = LIMIT + (ROUTER if complete(found) else "")
    return Table("Without being told the task", header, rows, note, "router") if rows else None


def _growth(found: StreamResults) -> Table:
    rows = [
        (
            s["label"],
            g["task"],
            f"{g['numbers']:,}",
            _count(g, "memory"),
            _count(g, "centroids"),
            _count(g, "examples"),
            size(BYTES * kept(g)),
            str(g["rank"]),
        )
        for s in found["strategies"]
        for g in s["growth"]
    ]
    budget = found["study"]["rank_budget"]
    note = f"Rank budget: {budget}." if budget else "No rank budget was set."
    note += " First order and seed."
    header = ("strategy", "after", "pairs", "memory", "centroids", "stored examples", "to keep", "rank per module")
    if not complete(found):
        return Table("Growth", (*header[:3], header[-1]), [(*r[:3], r[-1]) for r in rows], note, "growth")
    note += " Memory: what events remember. To keep: all numbers in float32, without stored examples."
    return Table("Growth", header, rows, note, "growth")


def _count(entry: Growth, name: Literal["memory", "centroids", "examples"]) -> str:
    return f"{entry[name]:,}" if name in entry else MISSING


def _cost(document: Document) -> Table:
    found, times = document["results"], document["cost"].get("by_strategy", {})
    lines: list[tuple[str, StrategyOf | JointOf, float | None]]
    lines = [(s["label"], s, times.get(s["label"])) for s in found["strategies"]]
    if found["joint"] and "flops" in found["joint"]:
        lines.append(("joint (reference)", found["joint"], document["cost"].get("joint")))
    rows = [
        (label, f"{entry['examples']:,}", operations(entry["flops"]), duration(seconds), size(entry.get("bytes")))
        for label, entry, seconds in lines
    ]
    note = (
        "Useful operations and time of training, all orders and seeds together; runs that strategies share count for "
        "each. Memory: the estimated peak of one run alone, the base included."
    )
    return Table("Cost", ("strategy", "examples", "operations", "time", "memory"), rows, note, "cost")


def _saved(found: StreamResults) -> Table:
    rows = [(s["folder"], s["what"], f"{s['error']:.2%}") for s in found["saved"]]
    note = "First order, first seed; `rankwise export` takes each folder."
    return Table("Saved adapters", ("folder", "what", "relative error"), rows, note, "saved")


def _tasks(found: StreamResults) -> Table:
    rows = [
        (
            t["id"],
            t["data"],
            str(t["train"]),
            str(t["test"]),
            f"{t['base']['exact_match']:.1%}",
            f"{t['base']['nll']:.3f}",
        )
        for t in found["tasks"]
    ]
    return Table("Tasks", ("task", "data", "train", "test", "base exact match", "base NLL"), rows, id="tasks")
