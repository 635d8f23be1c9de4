"""The tables of arms, column by column: an entry in ``COLUMNS`` is one of the page, of the terminal or of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rankwise.report import wording
from rankwise.report.view import ArmView, Document, arm_views, mean_of, selection_nll
from rankwise.studies.results.schema import Arm, ArmCost

PageTable = Literal["arms", "costs"]


@dataclass(frozen=True)
class Line:
    """All there is to know of one arm.

    Attributes:
        view: what is said of it anywhere, in words.
        arm: its entry in the results.
        cost: its entry in the costs; empty when nothing was measured.
        chosen: the study recommends it.
    """

    view: ArmView
    arm: Arm
    cost: ArmCost
    chosen: bool


@dataclass(frozen=True)
class Cell:
    """What a table shows of one arm; ``small`` stands below in the page, in brackets behind in the terminal."""

    text: str
    small: str = ""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: in the page.
        cell: what stands there.
        small: below the title.
        page: the table of the page that has it; None: the terminal alone.
        terminal: title in the terminal; empty: the page alone.
        brief: what the terminal shows instead of ``cell``.
        form: a number stands right; code is set as such; a badge is the verdict's; the name of the arm leads its row.
        roomy: left out of a narrow terminal.
    """

    title: str
    cell: Callable[[Line], Cell]
    small: str = ""
    page: PageTable | None = "arms"
    terminal: str = ""
    brief: Callable[[Line], str] | None = None
    form: Literal["name", "badge", "code", "text", "number"] = "number"
    roomy: bool = False

    def text(self, line: Line) -> str:
        """Return what the terminal shows."""
        if self.brief is not None:
            return self.brief(line)
        found = self.cell(line)
        return f"{found.text} ({found.small})" if found.small else found.text


def _known(text: str) -> str:
    """Nothing instead of the dash for a missing number."""
    return "" if text == wording.MISSING else text


COLUMNS: tuple[Column, ...] = (
    Column(
        "Arm",
        lambda at: Cell(at.view.label, "recommended" if at.chosen else ""),
        terminal="arm",
        brief=lambda at: at.view.label + (" *" if at.chosen else ""),
        form="name",
    ),
    Column("Arm", lambda at: Cell(at.view.label), page="costs", form="name"),
    Column("Verdict", lambda at: Cell(at.view.badge.word), terminal="verdict", form="badge"),
    Column(
        "Recovery",
        lambda at: Cell(wording.recovery(at.arm["recovery"]), wording.recovery_interval(at.arm["recovery"])),
        small="95% interval",
        terminal="recovery (95%)",
    ),
    Column(
        "Test NLL",
        lambda at: Cell(
            wording.nll(at.arm["test_nll"]), _known(wording.nll(mean_of(at.arm["fresh"], "test_nll_final")))
        ),
        small="at the final step",
        terminal="test NLL",
        brief=lambda at: wording.nll(at.arm["test_nll"]),
    ),
    Column(
        "Regret",
        lambda at: Cell(wording.regret(at.arm["regret"]), wording.regret_interval(at.arm["regret"])),
        small="95% interval, nats",
    ),
    Column("Selection NLL", lambda at: Cell(wording.nll(selection_nll(at.arm))), small="search seed"),
    Column(
        "Best LR",
        lambda at: Cell(at.view.best_lr, _rate_note(at.arm)),
        terminal="best LR",
        brief=lambda at: at.view.best_lr,
    ),
    Column(
        "Formula",
        lambda at: Cell(at.view.formula, _known(at.view.scale)),
        small="alpha, alpha/r, effective scale",
        page="costs",
        form="code",
    ),
    Column("Placement", lambda at: Cell(at.arm["placement"] or wording.MISSING), page="costs", form="text"),
    Column(
        "Trainable",
        lambda at: Cell(wording.count(at.arm["trainable"]), at.view.trainable_ratio),
        small="share",
        page="costs",
        terminal="trained",
        brief=lambda at: wording.short_count(at.arm["trainable"]),
        roomy=True,
    ),
    Column("FLOPs", lambda at: Cell(at.view.flops_ratio), small="share", page="costs", terminal="FLOPs"),
    Column(
        "Time per step",
        lambda at: Cell(wording.seconds(at.cost.get("seconds_per_step")), _known(at.view.time_ratio)),
        small="share",
        page="costs",
    ),
    Column(
        "Peak memory",
        lambda at: Cell(wording.size(at.cost.get("peak_memory_bytes")), _known(at.view.memory_ratio)),
        small="share",
        page="costs",
    ),
    Column("Adapter file", lambda at: Cell(at.view.adapter_bytes), page="costs"),
)


def lines(document: Document) -> list[Line]:
    """Return every arm, in the study's order."""
    results, costs = document["results"], document["cost"]["arms"]
    chosen = results["verdict"]["recommended"]
    return [
        Line(view, arm, costs.get(arm["name"], {}), arm["name"] == chosen)
        for view, arm in zip(arm_views(document), results["arms"], strict=True)
    ]


def of_page(table: PageTable) -> list[Column]:
    """Return the columns of one table of the page."""
    return [column for column in COLUMNS if column.page == table]


def of_terminal(*, roomy: bool) -> list[Column]:
    """Return the columns of the terminal; ``roomy``: there is space for all of them."""
    return [column for column in COLUMNS if column.terminal and (roomy or not column.roomy)]


def _rate_note(arm: Arm) -> str:
    if arm["best_lr"] is None:
        return "no run finished"
    if not arm["bracketed"]:
        return "edge of grid"
    return "grid widened" if arm["widened"] else ""
