"""The page of a stream of tasks: what each strategy keeps, R, curves, growth, cost, what happened when."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rankwise.report.event_lines import event_line
from rankwise.report.figures.stream import stream_figures
from rankwise.report.simple_page import PlainPage, Table, write_plain
from rankwise.report.stream_tables import floor, leading, more_tables, nats, percent
from rankwise.report.view import Document
from rankwise.report.wording import MISSING

if TYPE_CHECKING:
    from rich.console import Console

MEASURES = ("AP", "learned", "BWT", "forgetting", "FWT")
HEADER = ("strategy", "arXiv", *MEASURES)
NOTE = {
    "exact_match": "Exact match in percent; higher is better, except forgetting.",
    "nll": "Minus the NLL per target token, in nats, so that higher is better here too (except forgetting).",
}
AT_FLOOR = (
    "Exact match is at the floor: no strategy is above the {:.1f} % that luck, or always the commonest reply, would "
    "bring. Read the NLL."
)
MEANING = (
    "AP: mean score over all tasks at the end; learned: mean score on each task right after it was learned (read AP "
    "beside it: a strategy that learns little forgets little); BWT: change since then; forgetting: best score before "
    "the end minus the score at the end; FWT: score on a task just before it is learned, minus the untouched base. "
    "Intervals are 95 %, over runs (orders and seeds) crossed with test examples; the tasks are taken as given."
)


def write(document: Document, folder: Path) -> Path:
    """Write the page and its figures."""
    return write_plain(page(document), folder)


def page(document: Document) -> PlainPage:
    """Return the page."""
    found = document["results"]
    return PlainPage(
        kicker=f"chain · {found['study']['scale']} · {found['cell']['model']}",
        title=title(document),
        answers=[("en", sentences(document))],
        tables=[*(_measures(document, metric) for metric in leading(document)), *more_tables(document)],
        figures=stream_figures(document),
        setup=setup(document),
        notes=[MEANING, *found["cell"]["notes"]],
        log=log(document),
        faults=found["faults"],
    )


def title(document: Document) -> str:
    """What ran, in one line."""
    found = document["results"]
    return f"{len(found['tasks'])} tasks, one after another: {', '.join(task['id'] for task in found['tasks'])}"


def sentences(document: Document) -> list[str]:
    """What the intervals say, no more; in exact match unless that is at its floor, then in NLL."""
    found, metric = document["results"], leading(document)[0]
    what, show = ("exact match", percent) if metric == "exact_match" else ("minus NLL per token", nats)
    said = [] if metric == "exact_match" else [AT_FLOOR.format(100 * floor(document))]
    for strategy in found["strategies"]:
        ap, learned = (strategy["measures"][metric][name] for name in ("AP", "learned"))
        text = f"{strategy['label']}: {show(ap)} {what} over all tasks at the end, {show(learned)} when learned"
        versus = strategy["versus"] and strategy["versus"][metric]
        if versus:
            sure = versus["low"] > 0 or versus["high"] < 0
            word = ("more" if versus["estimate"] > 0 else "less") if sure else "not clearly different"
            text += f"; beside {found['compared_with']} {show(versus, signed=True)}: {word}"
            text += ", for these seeds" if versus["for_these_seeds"] else ""
        said.append(text + ".")
    if found["joint"]:
        said.append(f"All tasks mixed (joint), as many steps: {show(found['joint']['AP'][metric])}.")
    sizes = ", ".join(f"{task['id']} {task['train']} + {task['test']}" for task in found["tasks"])
    study = found["study"]
    orders = max(1, len(study["orders"]))
    said.append(
        f"Size of the evidence: training + test examples {sizes}; {orders} order{'s' if orders > 1 else ''} x "
        f"{len(study['seeds'])} seed{'s' if len(study['seeds']) > 1 else ''}; learning rate {study['lr']:g} for all."
    )
    return said


def rows(document: Document, metric: str) -> list[tuple[str, ...]]:
    """One line per strategy."""
    show = percent if metric == "exact_match" else nats
    found = [
        (s["label"], s["arxiv"], *(show(s["measures"][metric][name]) for name in MEASURES))
        for s in document["results"]["strategies"]
    ]
    if joint := document["results"]["joint"]:
        found.append(("joint (reference)", "-", show(joint["AP"][metric]), *[MISSING] * 4))
    return found


def _measures(document: Document, metric: str) -> Table:
    what = {"exact_match": "Exact match", "nll": "NLL"}[metric]
    return Table(what, HEADER, rows(document, metric), NOTE[metric], metric.replace("_", "-"))


def setup(document: Document) -> list[tuple[str, str]]:
    """Rows of the set-up."""
    study, origin = document["results"]["study"], document["provenance"]
    orders = study["orders"] or [[task["id"] for task in study["tasks"]]]
    found = [
        ("orders", "; ".join(" > ".join(order) for order in orders)),
        ("seeds", ", ".join(map(str, study["seeds"]))),
    ]
    names = ("rank", "alpha", "placement", "lr", "steps", "batch", "schedule", "warmup", "clip", "dtype", "event")
    found += [(name, str(study[name])) for name in names if study.get(name) is not None]
    found += [(s["label"], s["formula"]) for s in document["results"]["strategies"]]
    found += [(name, str(origin[name])) for name in ("command", "rankwise", "commit", "torch", "cpu", "created")]
    return [*found, ("time spent training and scoring", f"{document['cost']['trained_seconds']:.0f} s")]


def log(document: Document) -> list[str]:
    """What events did, and the losses that penalty ``colora-note`` adds, line by line as the log it is from."""
    lines = []
    for strategy in document["results"]["strategies"]:
        for chain in strategy["chains"]:
            where = f"{strategy['label']} {' > '.join(chain['order'])} seed {chain['seed']}"
            for name, losses, penalties, events in zip(
                chain["order"], chain["losses"], chain["penalties"], chain["events"], strict=True
            ):
                note = penalties.get("colora-note", [])
                for step, (loss, value) in enumerate(zip(losses, note, strict=False), 1):
                    lines.append(f"{where} {name} {step}: LM Loss: {loss:.4f}, CLoRA Loss: {value:.4f}")
                said = [(event["step"], event_line(event)) for event in events]
                lines += [f"{where} {name} {step}: {text}" for step, text in said if text]
            for name, error in zip(chain["order"], chain["budget_errors"], strict=True):
                if error is not None:
                    lines.append(f"{where} {name}: frozen pairs cut to the rank budget, relative error {error:.2%}")
    return lines


def render(document: Document, console: Console) -> None:
    """Print what was found and both tables."""
    from rich.markup import escape

    from rankwise.report.aligned import aligned

    lines = ["", *sentences(document), ""]
    for metric in leading(document):
        lines += [NOTE[metric], *aligned([HEADER, *rows(document, metric)]), ""]
    for line in lines:
        console.print(escape(line), highlight=False, soft_wrap=True)
