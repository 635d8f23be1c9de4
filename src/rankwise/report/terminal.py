"""The verdict in the terminal: sentence, table of arms, cautions, where the page is, what to type next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from rankwise.report import optional_sections, survey
from rankwise.report.aligned import aligned
from rankwise.report.clean import clean
from rankwise.report.columns import Line, lines, of_terminal
from rankwise.report.next_step import next_step
from rankwise.report.sections import cost_sentence, decided
from rankwise.report.view import ArmView, Document
from rankwise.stats.verdict_words import REFERENCE, SCREENED

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod
    from rich.table import Table

TONES = {"good": "green", "bad": "red", "unsure": "yellow", "quiet": "dim", "reference": "bold"}
ROOMY = 96  # columns of text that a terminal needs to show all columns of the table


def render_study(document: Document, console: Console, *, page: Path | None = None) -> None:
    """Print the verdict to ``console``; ``page`` is the path of `report.html`, when there is one.

    In a terminal the table is drawn and colored; into a pipe or file it is plain aligned text, one line per arm.
    Text from the data is escaped and control characters are dropped, so a name cannot style or break the output.
    """
    from rich.markup import escape

    document = cast("Document", clean(document))
    results = document["results"]
    table = lines(document)
    arms = [line.view for line in table]
    chosen = next((line.view for line in table if line.chosen), None)
    fancy = console.is_terminal

    def say(text: str, style: str = "") -> None:
        console.print(f"[{style}]{escape(text)}[/]" if style else escape(text), soft_wrap=not fancy, highlight=False)

    say("")
    say(results["verdict"]["headline"], "bold")
    if chosen is not None:
        say(f"Recommended: {chosen.label} ({_clause(results['verdict']['reason'])}).")
        cost = cost_sentence(document, chosen)
        if cost:
            say(cost)
    else:
        say(f"No recommendation: {_clause(results['verdict']['reason'])}.")
    for text in decided(document):
        say(text)
    say("")
    surveyed = survey.rows(document)
    if surveyed:
        for text in aligned([survey.HEADER, *surveyed]):
            say(text)
        say("")
        say(survey.sentence(document))
        for text in survey.left_out(document):
            say(text)
    elif fancy:
        console.print(_table(table, console.width))
    else:
        columns = of_terminal(roomy=True)
        header = tuple(column.terminal for column in columns)
        for text in aligned([header, *(tuple(column.text(line) for column in columns) for line in table)]):
            say(text)
    say("")
    for sentence in [] if surveyed else _sentences(arms, results["verdict"]["headline"]):
        say(sentence)
    for arm in arms:
        decide = arm.needs and arm.needs not in arm.sentence
        for remark in (f"{arm.label}: to decide it, {arm.needs}." if decide else "", _warning(arm)):
            if remark:
                say(remark, "yellow" if remark == _warning(arm) else "")
    for text in _extras(document):
        say(text)
    for trap in results["traps"]:
        say(f"Caution: {trap}", "yellow")
    for fault in results["faults"]:
        say(f"Fault: {fault['run']}: {fault['reason']}", "red")
    say("")
    if page is not None:
        say(f"Report: {page}")
    step = next_step(document)
    say(step.why)
    # The command is printed unwrapped: a line break inside it would be pasted.
    console.print(f"  [bold]{escape(step.command)}[/]", soft_wrap=True, highlight=False)


def _table(arms: list[Line], width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), collapse_padding=True, pad_edge=False, header_style="bold"
    )
    columns = of_terminal(roomy=width >= ROOMY)
    for column in columns:
        if column.form == "name":
            table.add_column(column.terminal, overflow="fold", min_width=11)
        else:
            side: JustifyMethod = "right" if column.form == "number" else "left"
            table.add_column(column.terminal, justify=side, no_wrap=True)
    for line in arms:
        tones = (TONES[line.view.badge.tone] if column.form == "badge" else "" for column in columns)
        table.add_row(*(Text(column.text(line), style=tone) for column, tone in zip(columns, tones, strict=True)))
    return table


def _sentences(arms: list[ArmView], headline: str) -> list[str]:
    """One sentence per judged arm, but not the headline again; arms that were only screened share one."""
    judged = [a.sentence for a in arms if a.badge.key not in (REFERENCE, SCREENED) and a.sentence]
    screened = [a.label for a in arms if a.badge.key == SCREENED]
    said = [sentence for sentence in judged if sentence != headline]
    if screened:
        said.append(f"Screened on one seed only, so without a verdict: {', '.join(screened)}.")
    return said


def _extras(document: Document) -> list[str]:
    """Right answers, rules of thumb that have enough data, the price of the search."""
    lines = [f"Rule of thumb: {sentence}" for sentence, enough in optional_sections.rules(document) if enough]
    found, price = optional_sections.answers(document), optional_sections.search_price(document)
    if found is not None:
        lines += [row.sentence for row in found.rows] + ([found.note] if found.note else [])
    return lines + ([price.sentence] if price is not None else [])


def _warning(arm: ArmView) -> str:
    return f"{arm.label}: {arm.warning}" if arm.warning else ""


def _clause(sentence: str) -> str:
    """A reason as part of a longer sentence."""
    return sentence.rstrip(". ")
