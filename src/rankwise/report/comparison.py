"""Studies side by side: a terminal table and one HTML page of what ``studies.compare`` found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankwise.files import write_text
from rankwise.report import wording
from rankwise.report.aligned import aligned
from rankwise.report.clean import clean
from rankwise.report.templating import environment
from rankwise.report.view import badge
from rankwise.stats.verdict_words import NO_VERDICT

if TYPE_CHECKING:
    from rich.console import Console

Comparison = Mapping[str, Any]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def letter(place: int) -> str:
    """A, B, ... for the studies in the order given; S27 and so on after Z."""
    return LETTERS[place] if place < len(LETTERS) else f"S{place + 1}"


def render_comparison(comparison: Comparison, console: Console, *, page: Path | None = None) -> None:
    """Print every cell: which studies, what differs in their settings, arms side by side, and the differences."""
    from rich.markup import escape

    def say(text: str) -> None:
        console.print(escape(text), soft_wrap=True, highlight=False)

    for cell in clean(comparison)["cells"]:
        say("")
        for place, side in enumerate(cell["sides"]):
            say(f"{letter(place)}  {side['study']}: {side['model']} on {side['data']}. {side['headline']}")
        for row in cell["settings"]:
            values = ", ".join(f"{letter(n)} {value}" for n, value in enumerate(row["values"]))
            say(f"Setting {row['setting']}: {values}")
        for remark in incomparable(cell):
            say(remark)
        say("")
        for line in aligned([header(cell), *(cells(arm) for arm in cell["arms"])]):
            say(line)
    say("")
    say(FOOTNOTE)
    if page is not None:
        say(f"Page: {page}")


FOOTNOTE = (
    "Differences are test NLL against A in nats per token, with 95% intervals over seeds and examples; the words are"
    " corrected for the number of arms (Holm), and there is none (no verdict) where a best learning rate is at the edge"
    " of its grid."
)


def write_comparison(comparison: Comparison, path: Path) -> Path:
    """Write the page, escaped by the template engine, and return its path."""
    found = clean(comparison)
    parts = [
        {
            "name": cell["cell"],
            "sides": [{**side, "letter": letter(n)} for n, side in enumerate(cell["sides"])],
            "settings": cell["settings"],
            "remarks": incomparable(cell),
            "header": header(cell),
            "rows": [(cells(arm), arm) for arm in cell["arms"]],
        }
        for cell in found["cells"]
    ]
    text = environment().get_template("comparison.html.j2").render(parts=parts, footnote=FOOTNOTE, dark_figures="")
    write_text(path, text)
    return path


def incomparable(cell: Comparison) -> list[str]:
    """A sentence per study whose scores cannot be subtracted from the first one's."""
    return [
        f"{letter(n)} is not comparable with A: {why}. Their numbers stand side by side; no difference is drawn."
        for n, why in enumerate(cell["not_comparable"], start=1)
        if why is not None
    ]


def header(cell: Comparison) -> tuple[str, ...]:
    """Column names: per study verdict, recovery and test NLL, then the differences to the first."""
    own = [f"{letter(n)} {what}" for n in range(len(cell["sides"])) for what in ("verdict", "recovery", "NLL", "LR")]
    return ("arm", *own, *(f"{letter(n)} - A" for n in range(1, len(cell["sides"]))))


def cells(arm: Comparison) -> tuple[str, ...]:
    """One arm's row, in the order of :func:`header`."""
    row = [str(arm["label"])]
    for side in arm["sides"]:
        if side is None:
            row += [wording.MISSING] * 4
        else:
            row += [
                badge(side["verdict"]).word,
                wording.recovery(side["recovery"]),
                wording.nll(side["test_nll"]),
                wording.learning_rate(side["best_lr"]),
            ]
    return (*row, *(_difference(found) for found in arm["differences"]))


def _difference(found: Comparison | None) -> str:
    if found is None:
        return wording.MISSING
    scope = ", for these seeds" if found["for_these_seeds"] else ""
    word = wording.VERDICTS[NO_VERDICT] if found["word"] == NO_VERDICT else found["word"]
    return f"{wording.regret(found)} ({wording.regret_interval(found)}): {word}{scope}"
