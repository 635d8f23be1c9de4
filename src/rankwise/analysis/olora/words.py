"""What ``analyze olora --study DIR`` says in words: why, what it means, and what could mislead."""

from __future__ import annotations

import math
import statistics
from typing import Any

from scipy.special import stdtrit

from rankwise.analysis.measures.magnitudes import pearson
from rankwise.analysis.olora.duels import Duel, beyond, leads_of_controls
from rankwise.analysis.olora.rules import REACH, ahead, odds
from rankwise.analysis.study_files import Results, training


def why(ours: list[Duel]) -> str:
    """Return the counts that decided both words, and how many duels an undecided one would need."""
    own, shared, steps = (beyond(ours, kind) for kind in ("own", "shared", "steps"))
    edges = sum(d.at_edge for d in ours)
    return (
        f"Beyond the margin OLoRA is ahead in {own.wins} of {own.cells} duels at own learning rates and LoRA in "
        f"{own.losses} ({odds(own)}); at one shared rate OLoRA in {shared.wins} of {shared.cells} and LoRA in "
        f"{shared.losses}. Faster: {ahead(steps)}; OLoRA comes to {REACH:.0%} of LoRA's gain sooner in {steps.wins} "
        f"of {steps.cells}, later or never in {steps.losses} ({odds(steps)})."
        + (f" No verdict on {edges} of {len(ours)} duels: a best rate is at the edge of its grid." if edges else "")
    )


def interpret(
    cells: dict[str, Results], found: list[Duel], ours: list[Duel], dimension: list[dict[str, Any]] | None
) -> str:
    """Return what the leads, the controls and the intrinsic dimensions say."""
    own = statistics.mean(d.lead for d in ours)
    told = [f"With its own learning rate for each, OLoRA's lead is {own:+.3f} nats on average."]
    told += _at_one_rate(cells, ours)
    if controls := leads_of_controls(found):
        means = ", ".join(f"{name} {lead:+.3f}" for name, lead in controls["means"].items())
        told.append(
            "The controls tell what of the mechanism matters: orthonormal keeps only orthonormality and loudness, "
            "spectrum adds the singular values of OLoRA's own start (no subset of W's), OLoRA adds W's directions. "
            f"Mean leads over LoRA, at rank {', '.join(map(str, controls['ranks']))} in {controls['cells']} cell(s): "
            f"{means}; {controls['favored']}."
        )
    if dimension:
        told.append(_correlation([d for d in dimension if d["d90"] is not None]))
    return " ".join(told)


def caveats(cells: dict[str, Results], methods: set[str]) -> tuple[str, ...]:
    """Return what a reader could be misled by."""
    rates = {len(arm["learning_rates"]) for results in cells.values() for arm in results["arms"]}
    steps = training(cells).get("steps")
    told = [
        "One seed per learning rate, scored on the selection split on which the rate was chosen.",
        "The sign test takes duels for independent; ranks of one cell share its data and its seed.",
        "Steps are interpolated between those at which runs were scored.",
    ]
    if steps is not None:
        tried = f"{min(rates)} to {max(rates)} learning rates an arm"
        told.append(f"Small: runs of {steps} steps, {tried}, {len(cells)} cell(s).")
    if "milora" not in methods:
        told.append("MiLoRA is left out: the study has no such arm.")
    return tuple(told)


def _at_one_rate(cells: dict[str, Results], ours: list[Duel]) -> list[str]:
    """Say what the shared rate shows, where it lies, and whether a search ended it early."""
    leads = [(d.cell, d.lead_shared) for d in ours if d.lead_shared is not None]
    if not leads:
        return []
    by_data = {c: statistics.mean(lead for other, lead in leads if other == c) for c, _ in leads}
    listed = "; ".join(f"{cell} {lead:+.3f}" for cell, lead in by_data.items())
    halved = any(results["search"]["kind"] == "halving" for results in cells.values())
    told = [
        "At one learning rate for both, the one trained furthest and best for LoRA, it is "
        f"{statistics.mean(lead for _, lead in leads):+.3f}"
        + (", up to the step in the table (the search stopped poor rates)" if halved else "")
        + (f"; by data set: {listed}." if len(by_data) > 1 else ".")
    ]
    if edges := _edges(ours):
        told.append(
            f"Of {len(leads)} duels the shared rate is {edges}: at the edge of what an arm tried the lead tells which "
            "rates each wants more than which init is better."
        )
    end = "Where that is the last step, what" if halved else "What"
    told.append(f"{end} the two leads differ by is due to the choice of learning rate, not to the init.")
    return told


def _edges(ours: list[Duel]) -> str:
    """Say in how many duels the shared rate is the lowest or highest one that an arm tried; empty for none."""
    pairs = [(d.shared.lr, d.tried) for d in ours if d.shared]
    told = []
    for who, index in (("LoRA", 1), ("OLoRA", 0)):
        for word, end in (("lowest", 0), ("highest", 1)):
            if n := sum(lr == tried[index][end] for lr, tried in pairs):
                told.append(f"the {word} that {who} tried in {n}")
    return " and ".join(told)


def _correlation(known: list[dict[str, Any]]) -> str:
    n = len(known)
    if n < 3:
        return "Fewer than three cells have a d90 between two dimensions tried: no correlation is given."
    r = pearson([d["d90"] for d in known], [d["ahead"] for d in known])
    t = float(stdtrit(n - 2, 0.975))
    chance = t / math.sqrt(n - 2 + t * t)
    return (
        f"Lead and intrinsic dimension correlate at {r:+.2f} over {n} cells (by chance alone beyond {chance:.3f} in "
        "one case of 20)."
    )
