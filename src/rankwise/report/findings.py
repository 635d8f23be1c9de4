"""Writes a finding: finding.json, figure.png, figure.svg and finding.html; and a page for docs/studies."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path
from typing import Any

from rankwise.analysis.finding import Finding, Panel, Row, Table
from rankwise.files import replacing, write_json, write_text
from rankwise.report.clean import clean
from rankwise.report.templating import environment

MAX_ROWS = 24  # of a table on a page; the JSON holds all
TERMINAL_ROWS = 12
FILES = ("finding.json", "figure.svg", "figure.png", "finding.html")


def write_finding(finding: Finding, folder: Path, command: str) -> Path:
    """Write everything into ``folder`` and return the page's path. The same finding gives the same bytes."""
    from rankwise.report.figures.theme import NARROW, WIDE, dark_rules
    from rankwise.report.finding_figures import draw_finding
    from rankwise.report.svg import draw, inline, png

    plain = clean({**finding.to_dict(), "command": command})
    panels = tuple(replace(p, rows=_clean(p.rows), path=_clean(p.path)) for p in finding.panels)
    write_json(folder / "finding.json", plain)
    wide, narrow = draw(draw_finding(panels, WIDE)), draw(draw_finding(panels, NARROW))
    label = f"{finding.analysis}: {finding.word}"
    write_text(folder / "figure.svg", inline(wide, prefix=finding.analysis, label=label))
    with replacing(folder / "figure.png") as temporary:
        temporary.write_bytes(png(wide))
    pictures = {
        "wide": inline(wide, prefix=f"{finding.analysis}-wide", label=label),
        "narrow": inline(narrow, prefix=f"{finding.analysis}-narrow", label=label),
    }
    page = folder / "finding.html"
    write_text(page, _page(plain, pictures, dark_rules(".chart")))
    return page


def figure(finding: Row) -> bytes:
    """Return the picture (PNG) of a finding's JSON, as :func:`write_finding` draws it."""
    from rankwise.report.figures.theme import WIDE
    from rankwise.report.finding_figures import draw_finding
    from rankwise.report.svg import draw, png

    return png(draw(draw_finding(tuple(Panel.from_dict(panel) for panel in finding["panels"]), WIDE)))


def markdown(finding: dict[str, Any], figure: str) -> str:
    """Return a page of docs/studies from a finding's JSON: set-up, figure, result, verdict, command."""
    lines = [f"# {finding['analysis']}: {finding['word']}", "", finding["claim"], ""]
    lines += [f"![{finding['analysis']}]({figure})", "", f"**{finding['word'].capitalize()}.** {finding['why']}", ""]
    lines += [f"Rule: {finding['rule']}", "", finding["interpretation"], "", "## Set-up", ""]
    lines += [f"- {key}: {_value(value)}" for key, value in finding["setup"].items()]
    lines += ["", "```", finding["command"], "```", ""]
    if "seconds" in finding:
        lines += [f"It took {finding['seconds']} seconds.", ""]
    for table in finding["tables"]:
        lines += [f"## {table['title']}", "", "| " + " | ".join(map(_cell, table["columns"])) + " |"]
        lines += ["|" + "---|" * len(table["columns"])]
        lines += ["| " + " | ".join(_cell(v) for v in row) + " |" for row in table["rows"][:MAX_ROWS]]
        if len(table["rows"]) > MAX_ROWS:
            lines += ["", f"{len(table['rows']) - MAX_ROWS} more rows are in the finding's JSON."]
        lines.append("")
    if finding["caveats"]:
        lines += ["## What could mislead", "", *(f"- {caveat}" for caveat in finding["caveats"]), ""]
    return "\n".join(lines)


def table_rows(table: Table | dict[str, Any]) -> list[list[str]]:
    """Return a table's cells as text."""
    rows = table.rows if isinstance(table, Table) else table["rows"]
    return [[_cell(value) for value in row] for row in rows]


def shown_tables(finding: Finding) -> list[Table]:
    """Return what a terminal shows: the first table, which may be cut, and the others where they are short."""
    return [t for k, t in enumerate(finding.tables) if k == 0 or len(t.rows) <= TERMINAL_ROWS]


def setup_lines(finding: Finding) -> list[tuple[str, str]]:
    """Return the set-up as pairs of text; long lists as their length, since the page has them in full."""
    return [
        (key, f"{len(value)} (see the page)" if isinstance(value, list) and len(value) > 6 else _value(value))
        for key, value in finding.setup.items()
    ]


def _clean(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    return tuple(clean(dict(row)) for row in rows)


def _page(finding: dict[str, Any], pictures: dict[str, str], dark: str) -> str:
    tables = [{**t, "shown": [[_cell(v) for v in row] for row in t["rows"]]} for t in finding["tables"]]
    setup = [(key, html.unescape(_value(value))) for key, value in finding["setup"].items()]
    template = environment().get_template("finding.html.j2")
    return template.render(f=finding, pictures=pictures, dark_figures=dark, tables=tables, setup=setup)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.3g}"
    return str(value).replace("|", "¦")


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_cell, value)) or "–"
    return f"{value:g}" if isinstance(value, float) else _cell(value)
