"""The page of the study of orthogonalization events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankwise.report.event_lines import event_line, number
from rankwise.report.figures.events import event_figures
from rankwise.report.simple_page import PlainPage, Table, write_plain
from rankwise.studies.results.schema import EventArm
from rankwise.studies.results.schema import EventsDocument as Document

if TYPE_CHECKING:
    from rich.console import Console

HEADER = (
    "event",
    "B A kept",
    "mean jump (nats)",
    "largest |jump|",
    "change of B A",
    "max |cos| after",
    "bf16 cast",
    "final training loss",
    "held-out loss",
)


def write(document: Document, folder: Path) -> Path:
    """Write the page and its figures."""
    return write_plain(page(document), folder)


def page(document: Document) -> PlainPage:
    """Return the page."""
    found = document["results"]
    answers: Mapping[str, Any] = found["answers"]
    whole = [entry for entry in found["arms"] if entry["duplication"] is None]
    tables = [Table("What each event did", HEADER, [row(entry) for entry in whole], NOTE, "arms")]
    for times in found["study"]["duplications"]:
        rows = [row(entry) for entry in found["arms"] if entry["duplication"] == times]
        tables.append(Table(f"Training examples repeated x{times}", HEADER, rows, id=f"x{times}"))
    return PlainPage(
        kicker=f"orthogonalization · {found['study']['scale']} · {found['cell']['model']} on {found['cell']['data']}",
        title=found["study"]["question"],
        answers=list(answers.items()),
        tables=tables,
        figures=event_figures(document),
        setup=setup(document),
        notes=found["cell"]["notes"],
        log=log(document),
        faults=found["faults"],
    )


NOTE = (
    "Jumps are measured on the same examples just before and just after an event, in the precision of the set-up; the "
    "column bf16 cast is what rounding the factors to bfloat16 would do to the same loss. Losses are nats per token."
)


def row(entry: EventArm) -> list[str]:
    """One line of the table."""
    kept = "yes" if entry["keeps"] else "no"
    kept = "continuous" if entry["arm"] == "penalty" else kept
    label = entry["label"] + (f" ({entry['diverged']} of {entry['runs']} diverged)" if entry["diverged"] else "")
    return [
        label,
        kept,
        number(entry["jump"], signed=True),
        number(entry["largest_jump"]),
        number(entry["relative_change"]),
        number(entry["coherence_after"]),
        number(entry["bf16"]),
        number(entry["remembered"]),
        number(entry["held_out"]),
    ]


def setup(document: Document) -> list[tuple[str, str]]:
    """Rows of the set-up."""
    study: Mapping[str, Any] = document["results"]["study"]
    origin: Mapping[str, Any] = document["provenance"]
    many = ("duplications", "ranks", "learning_rates", "every", "seeds")
    rows = [(name.replace("_", " "), ", ".join(map(str, study[name]))) for name in many]
    one = ("steps", "batch", "alpha", "strength", "penalty", "clip", "dtype", "train", "held_out", "placement")
    rows += [(name.replace("_", " "), str(study[name])) for name in one]
    rows += [(name, str(origin[name])) for name in ("command", "rankwise", "commit", "torch", "cpu", "created")]
    return [*rows, ("wall time of the last session", f"{document['cost']['seconds']:.0f} s")]


def log(document: Document) -> list[str]:
    """Every event of every run, in the words users know."""
    lines = []
    for run in document["results"]["runs"]:
        where = f"{run['arm']} x{run['duplication']} r={run['rank']} lr={run['lr']:g} seed={run['seed']}"
        for event in run["events"]:
            if said := event_line(event):
                lines.append(f"{where} step {event['step']}: {said}")
    return lines


def render(document: Document, console: Console) -> None:
    """Print the answer and the table."""
    from rich.markup import escape

    from rankwise.report.aligned import aligned

    found = document["results"]
    rows = [tuple(row(entry)) for entry in found["arms"] if entry["duplication"] is None]
    for line in [*found["answers"]["en"], "", *aligned([HEADER, *rows]), ""]:
        console.print(escape(line), highlight=False, soft_wrap=True)
