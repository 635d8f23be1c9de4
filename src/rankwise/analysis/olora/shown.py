"""Tables and panels of ``analyze olora --study DIR``."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from rankwise.analysis.finding import Axis, Panel, Table
from rankwise.analysis.olora.duels import KINDS, Duel, beyond, strictly
from rankwise.analysis.olora.rules import MANY, ahead, needed

OWN, SHARED = "own rates", "one shared rate"


def tables(found: list[Duel], ours: list[Duel]) -> list[Table]:
    """Return words, strict counts, leads by data set, and everything duel by duel."""
    return [_words(ours), _strict(found), _by_data(ours), _cells(found)]


def panels(found: list[Duel], ours: list[Duel]) -> list[Panel]:
    """Return the leads by arm and OLoRA's by data set."""
    cells = {
        (d.method, d.rank): len({e.cell for e in found if (e.method, e.rank) == (d.method, d.rank)}) for d in found
    }
    few = {arm: f", {n} cell(s)" if n < max(cells.values()) else "" for arm, n in cells.items()}
    by_arm = _means((f"{d.method} r={d.rank}{few[d.method, d.rank]}", d) for d in found)
    by_data = _means((d.cell, d) for d in ours)
    lead = Axis("lead", "LoRA's NLL minus the arm's")
    return [
        Panel("Lead over LoRA of the same rank (mean over cells)", "bars", by_arm, Axis("of", ""), lead, "rate"),
        Panel("OLoRA's lead by data set (mean over ranks)", "bars", by_data, Axis("of", ""), lead, "rate"),
    ]


def _words(ours: list[Duel]) -> Table:
    """Counts of OLoRA over all, by rank and by model, with words and the duels that an undecided one needs."""
    groups: dict[str, list[Duel]] = {"all": ours}
    for d in ours:
        groups.setdefault(f"rank {d.rank}", []).append(d)
        if len({one.model for one in ours}) > 1:
            groups.setdefault(d.model, []).append(d)
    rows = []
    for name, members in groups.items():
        for kind, what in KINDS.items():
            count = beyond(members, kind)
            word = ahead(count)
            more = needed(count) or f"> {MANY}" if count.cells and word == "undecided" else None
            split = f"{count.wins} / {count.ties} / {count.losses}"
            rows.append((f"{what}, {name}", split, f"{count.p:.2g}", word, more))
    columns = ("what", "OLoRA / tie / LoRA", "sign test p", "word", "duels to decide")
    return Table("OLoRA against LoRA, beyond the margin", columns, tuple(rows))


def _strict(found: list[Duel]) -> Table:
    methods = sorted({d.method for d in found})
    rows = tuple((m, *(str(strictly((d for d in found if d.method == m), kind)) for kind in KINDS)) for m in methods)
    return Table(
        "Strict wins over LoRA, however small the lead, as the paper counts", ("method", *KINDS.values()), rows
    )


def _by_data(ours: list[Duel]) -> Table:
    rows = []
    for cell in dict.fromkeys(d.cell for d in ours):
        own = [d for d in ours if d.cell == cell]
        at_one = [d.lead_shared for d in own if d.lead_shared is not None]
        rates = sorted({d.shared.lr for d in own if d.shared})
        rows.append(
            (
                cell,
                statistics.mean(d.lead for d in own),
                statistics.mean(at_one) if at_one else None,
                ", ".join(f"{lr:g}" for lr in rates),
            )
        )
    columns = ("cell", "at own rates", "at the shared rate", "shared rate")
    return Table("OLoRA's mean lead by data set, in nats", columns, tuple(rows))


def _cells(found: list[Duel]) -> Table:
    columns = (
        *("cell", "rank", "method", "own rate", "NLL", "LoRA's own rate", "NLL"),
        *("shared rate", "NLL", "LoRA's", "at step", f"steps, {KINDS['steps'].removeprefix('sooner ')}", "LoRA's"),
    )
    rows = []
    for d in found:
        at_one = (f"{d.shared.lr:g}", *d.shared.nlls, d.shared.step) if d.shared else (None,) * 4
        one, two = d.rates
        own = (f"{one:g}", d.own[0], f"{two:g}", d.own[1])
        rows.append((d.cell, d.rank, d.method, *own, *at_one, *d.steps))
    return Table("Cell by cell", columns, tuple(rows))


def _means(named: Iterable[tuple[str, Duel]]) -> tuple[dict[str, Any], ...]:
    groups: dict[tuple[str, str], list[float]] = {}
    for name, d in named:
        groups.setdefault((name, OWN), []).append(d.lead)
        if d.lead_shared is not None:
            groups.setdefault((name, SHARED), []).append(d.lead_shared)
    return tuple({"of": name, "rate": rate, "lead": statistics.mean(v)} for (name, rate), v in groups.items())
