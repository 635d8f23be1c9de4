"""Every arm of an ``olora`` study beside LoRA of its rank."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from rankwise.analysis.olora_rules import favored
from rankwise.analysis.study_files import Results, best, steps_to


@dataclass(frozen=True)
class Duel:
    """One challenger against LoRA at one rank in one cell; selection NLLs, the challenger's first.

    Attributes:
        own: at each one's best rate.
        shared: at one rate for both, up to ``shared_step``; None when they have no rate in common.
        steps: until LoRA's best is reached.
    """

    cell: str
    model: str
    rank: int
    method: str
    own: tuple[float, float]
    shared: tuple[float, float] | None
    shared_step: int | None
    steps: tuple[int | None, int | None]


def duels(cells: dict[str, Results]) -> list[Duel]:
    """Pair every arm of rank r with LoRA of rank r, at own rates and at the shared one."""
    found = []
    for cell, results in cells.items():
        adapters = [arm for arm in results["arms"] if arm["rank"] is not None and best(arm)]
        baselines = {arm["rank"]: arm for arm in adapters if arm["method"] == "lora"}
        for arm in adapters:
            lora = baselines.get(arm["rank"])
            if lora is None or arm is lora:
                continue
            one, two = best(arm), best(lora)
            assert one is not None
            assert two is not None
            threshold = two["selection_nll"]
            step, shared = at_one_rate(arm, lora) or (None, None)
            steps = (steps_to(one["curve"], threshold), steps_to(two["curve"], threshold))
            name = arm["method"] if arm["method"] != "custom" else arm["name"].rsplit("-r", 1)[0]
            found.append(
                Duel(
                    cell,
                    results["cell"]["model"],
                    arm["rank"],
                    name,
                    (one["selection_nll"], threshold),
                    shared,
                    step,
                    steps,
                )
            )
    return found


def at_one_rate(arm: Results, lora: Results) -> tuple[int, tuple[float, float]] | None:
    """Compare at one learning rate that both tried: the one at which both went furthest, then the best for LoRA.

    A search by halving stops runs early, so the scores are the best up to the last step that both were scored at.
    Runs that diverged are left out.

    Returns:
        That step and the two NLLs; None without such a rate.
    """
    curves = [
        {r["lr"]: dict(r["curve"]) for r in a["learning_rates"] if r["curve"] and r["status"] != "diverged"}
        for a in (arm, lora)
    ]
    found = []
    for lr in curves[0].keys() & curves[1].keys():
        own, other = curves[0][lr], curves[1][lr]
        if common := own.keys() & other.keys():
            step = max(common)
            pair = (_lowest(own, step), _lowest(other, step))
            found.append((-step, pair[1], lr, pair))
    if not found:
        return None
    depth, _, _, pair = min(found)
    return -int(depth), pair


def _lowest(curve: dict[int, float], step: int) -> float:
    return min(nll for at, nll in curve.items() if at <= step)


def leads_of_controls(found: list[Duel]) -> dict[str, Any] | None:
    """Mean leads over LoRA of both controls and of OLoRA, over the cells and ranks that have all three; None: none."""
    leads = {(d.cell, d.rank, d.method): d.own[1] - d.own[0] for d in found}
    names = ("orthonormal", "spectrum", "olora")
    places = sorted({(d.cell, d.rank) for d in found})
    both = [(c, r) for c, r in places if all((c, r, name) in leads for name in names)]
    if not both:
        return None
    by_name = {name: [leads[c, r, name] for c, r in both] for name in names}
    means = {name: statistics.mean(values) for name, values in by_name.items()}
    return {"cells": len(both), "ranks": sorted({r for _, r in both}), "means": means, "favored": favored(by_name)}
