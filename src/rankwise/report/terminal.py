"""The verdict in the terminal: sentence, table of arms, cautions, where the page is, what to type next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankwise.report import optional_sections, survey
from rankwise.report.aligned import aligned
from rankwise.report.clean import clean
from rankwise.report.next_step import next_step
from rankwise.report.sections import cost_sentence
from rankwise.report.view import ArmView, arm_views

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

TONES = {"good": "green", "bad": "red", "unsure": "yellow", "quiet": "dim", "reference": "bold"}
HEADER = ("arm", "verdict", "recovery (95%)", "test NLL", "best LR", "trained", "FLOPs")
TRAINED = HEADER.index("trained")  # left out of a terminal narrower than ROOMY columns
ROOMY = 96


def render_study(document: dict[str, Any], console: Console, *, page: Path | None = None) -> None:
    """Print the verdict to ``console``; ``page`` is the path of `report.html`, when there is one.

    In a terminal the table is drawn and colored; into a pipe or file it is plain aligned text, one line per arm.
    Text from the data is escaped and control characters are dropped, so a name cannot style or break the output.
    """
    from rich.markup import escape

    document = clean(document)
    results = document["results"]
    arms = arm_views(document)
    chosen = next((arm for arm in arms if arm.name == results["verdict"]["recommended"]), None)
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
    say("")
    surveyed = survey.rows(document)
    if surveyed:
        for line in aligned([survey.HEADER, *surveyed]):
            say(line)
        say("")
        say(survey.sentence(document))
        for line in survey.left_out(document):
            say(line)
    elif fancy:
        console.print(_table(arms, chosen, console.width))
    else:
        for line in aligned([HEADER, *(_cells(arm, chosen) for arm in arms)]):
            say(line)
    say("")
    for sentence in [] if surveyed else _sentences(arms, results["verdict"]["headline"]):
        say(sentence)
    for arm in arms:
        decide = arm.needs and arm.needs not in arm.sentence
        for remark in (f"{arm.label}: to decide it, {arm.needs}." if decide else "", _warning(arm)):
            if remark:
                say(remark, "yellow" if remark == _warning(arm) else "")
    for line in _extras(document):
        say(line)
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


def _cells(arm: ArmView, chosen: ArmView | None) -> tuple[str, ...]:
    label = arm.label + (" *" if arm is chosen else "")
    recovery = f"{arm.recovery} ({arm.recovery_interval})" if arm.recovery_interval else arm.recovery
    return label, arm.badge.word, recovery, arm.test_nll, arm.best_lr, arm.trainable_short, arm.flops_ratio


def _table(arms: list[ArmView], chosen: ArmView | None, width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), collapse_padding=True, pad_edge=False, header_style="bold"
    )
    table.add_column(HEADER[0], overflow="fold", min_width=11)
    for index, name in enumerate(HEADER[1:], start=1):
        if index != TRAINED or width >= ROOMY:
            table.add_column(name, justify="right" if index > 1 else "left", no_wrap=True)
    for arm in arms:
        label, verdict, *numbers = _cells(arm, chosen)
        if width < ROOMY:
            del numbers[TRAINED - 2]
        table.add_row(Text(label), Text(verdict, style=TONES[arm.badge.tone]), *numbers)
    return table


def _sentences(arms: list[ArmView], headline: str) -> list[str]:
    """One sentence per judged arm, but not the headline again; arms that were only screened share one."""
    judged = [a.sentence for a in arms if a.badge.word not in ("reference", "screened") and a.sentence]
    screened = [a.label for a in arms if a.badge.word == "screened"]
    said = [sentence for sentence in judged if sentence != headline]
    if screened:
        said.append(f"Screened on one seed only, so without a verdict: {', '.join(screened)}.")
    return said


def _extras(document: dict[str, Any]) -> list[str]:
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
