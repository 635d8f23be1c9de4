"""Tables and panels of singular spectra."""

from __future__ import annotations

import statistics

from rankwise.analysis.finding import Axis, Panel, Row, Table
from rankwise.analysis.measures.spectra import summary
from rankwise.analysis.updates import Update, short

MEASURES = ("effective_rank", "stable_rank", "entropy_rank", "rank_90_sum", "rank_90_squares")
COLUMNS = ("effective rank", "stable rank", "entropy rank", "rank for 90 % of the sum", "rank for 90 % of the squares")


def measured_table(groups: dict[str, dict[str, Update]]) -> Table:
    """One row per module of every group of updates."""
    rows = []
    for group, found in groups.items():
        for name, update in found.items():
            measures = summary(update.sigma)
            rows.append((group, name, *(measures[m] for m in MEASURES)))
    return Table("Spectra by module", ("update", "module", *COLUMNS), tuple(rows))


def measured_panels(groups: dict[str, dict[str, Update]], names: list[str]) -> tuple[Panel, ...]:
    """The spectra of the module in the middle of ``names``, and the ranks that hold the energy over all."""
    shown = names[len(names) // 2]
    spectra = {group: found[shown].sigma.tolist() for group, found in groups.items()}
    bars: list[Row] = []
    for group, found in groups.items():
        for measure, title in (("rank_90_sum", "90 % of the sum"), ("rank_90_squares", "90 % of the squares")):
            value = statistics.median(summary(update.sigma)[measure] for update in found.values())
            bars.append({"arm": group, "rank": value, "energy": title})
    by_energy = Panel(
        "Rank that holds 90 % of the energy, median over modules",
        "bars",
        tuple(bars),
        Axis("arm", ""),
        Axis("rank", "rank"),
        "energy",
    )
    return (spectra_panel(spectra, short(shown)), by_energy)


def spectra_panel(spectra: dict[str, list[float]], where: str = "") -> Panel:
    """Singular values over the largest one, by group."""
    rows = tuple(
        {"index": i, "sigma": value / sigma[0], "arm": group}
        for group, sigma in spectra.items()
        for i, value in enumerate(sigma, 1)
        if value > 1e-6 * sigma[0] and _shown(i)
    )
    title = "Singular values over the largest" + (f", {where}" if where else "")
    return Panel(
        title, "lines", rows, Axis("index", "index", log=True), Axis("sigma", "relative size", log=True), "arm"
    )


def _shown(i: int) -> bool:
    """Thin out long spectra: every value up to 32, then one in i // 32."""
    return i <= 32 or i % (i // 32) == 0
