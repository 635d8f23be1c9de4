"""Every arm of an ``olora`` study beside LoRA of its rank."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from rankwise.analysis.measures.wins import Count, count_beyond, count_wins, margin_of_gain
from rankwise.analysis.olora.rules import REACH, favored
from rankwise.analysis.study_files import best, steps_to
from rankwise.studies.results.schema import BY_HAND, Arm, Results

Kind = Literal["own", "shared", "steps"]
KINDS: dict[Kind, str] = {
    "own": "lower loss at own rates",
    "shared": "lower loss at one shared rate",
    "steps": f"sooner at {REACH:.0%} of LoRA's gain",
}
Pair = tuple[float, float]


@dataclass(frozen=True)
class Shared:
    """Challenger and LoRA at one learning rate, scored up to ``step``; selection NLLs, the challenger's first."""

    lr: float
    step: int
    nlls: Pair


@dataclass(frozen=True)
class Duel:
    """One challenger against LoRA at one rank in one cell; of every pair the challenger's is first.

    Attributes:
        base: the untouched model's selection NLL.
        own: selection NLLs, each at its own best rate.
        rates: these rates.
        tried: lowest and highest rate that each tried.
        shared: at one rate for both; None when they have no rate in common.
        steps: where each, at its own rate, comes down to 90 % of LoRA's gain, interpolated; None never does.
        spacing: steps between two scores.
        at_edge: one of the two has its best rate at the edge of its grid: there is no verdict at own rates.
    """

    cell: str
    model: str
    rank: int
    method: str
    base: float
    own: Pair
    rates: Pair
    tried: tuple[Pair, Pair]
    shared: Shared | None
    steps: tuple[float | None, float | None]
    spacing: float
    at_edge: bool = False

    @property
    def lead(self) -> float:
        """LoRA's NLL minus the challenger's, at own rates."""
        return self.own[1] - self.own[0]

    @property
    def lead_shared(self) -> float | None:
        """The same at the shared rate."""
        return None if self.shared is None else self.shared.nlls[1] - self.shared.nlls[0]

    def losses(self, kind: Kind) -> tuple[float, float, float] | None:
        """Return what a duel of a kind compares, lower is better, with its margin; None where it cannot be fought."""
        if kind == "steps":
            if self.steps[1] is None:  # LoRA gained nothing: there is no 90 % of it
                return None
            own = float("inf") if self.steps[0] is None else self.steps[0]
            return own, self.steps[1], self.spacing / 2
        pair = self.own if kind == "own" else self.shared.nlls if self.shared else None
        return None if pair is None else (*pair, margin_of_gain(self.base, *pair))


def strictly(found: Iterable[Duel], kind: Kind) -> Count:
    """Count strict wins."""
    return count_wins(losses[:2] for duel in found if (losses := duel.losses(kind)))


def beyond(found: Iterable[Duel], kind: Kind) -> Count:
    """Count wins beyond the margin, which words are made of: at own rates only where both are inside their grids."""
    judged = (duel for duel in found if kind == "shared" or not duel.at_edge)
    return count_beyond(losses for duel in judged if (losses := duel.losses(kind)))


def duels(cells: dict[str, Results]) -> list[Duel]:
    """Pair every arm of rank r with LoRA of rank r, at own rates and at the shared one."""
    found = []
    for cell, results in cells.items():
        adapters = [arm for arm in results["arms"] if arm["rank"] is not None and best(arm)]
        baselines = {arm["rank"]: arm for arm in adapters if arm["method"] == "lora"}
        for arm in adapters:
            lora = baselines.get(arm["rank"])
            if lora is not None and arm is not lora:
                found.append(_duel(cell, results, arm, lora))
    return found


def _duel(cell: str, results: Results, arm: Arm, lora: Arm) -> Duel:
    one, two = best(arm), best(lora)
    assert one is not None
    assert two is not None
    ours, theirs = one["selection_nll"], two["selection_nll"]
    assert ours is not None  # of the best run there is one
    assert theirs is not None
    base = float(results["base"]["selection_nll"])
    gain = base - theirs
    threshold = base - REACH * gain if gain > 0 else -float("inf")
    scored = [0, *(step for step, _ in two["curve"])]
    return Duel(
        cell=cell,
        model=results["cell"]["model"],
        rank=arm["rank"] or 0,
        method=arm["method"] if arm["method"] != BY_HAND else arm["name"].rsplit("-r", 1)[0],
        base=base,
        own=(ours, theirs),
        rates=(one["lr"], two["lr"]),
        tried=(_edges(arm), _edges(lora)),
        shared=at_one_rate(arm, lora),
        steps=(steps_to(one["curve"], base, threshold), steps_to(two["curve"], base, threshold)),
        spacing=float(max(after - before for before, after in pairwise(scored))),
        at_edge=not (arm["bracketed"] and lora["bracketed"]),
    )


def _edges(arm: Arm) -> Pair:
    rates = [r["lr"] for r in arm["learning_rates"]]
    return min(rates), max(rates)


def at_one_rate(arm: Arm, lora: Arm) -> Shared | None:
    """Compare at one learning rate that both tried: the one at which both went furthest, then the best for LoRA.

    A search by halving stops runs early, so the scores are the best up to the last step that both were scored at.
    Runs that diverged are left out.
    """
    curves = [
        {
            r["lr"]: {step: nll for step, nll in r["curve"]}
            for r in a["learning_rates"]
            if r["curve"] and r["status"] != "diverged"
        }
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
    depth, _, lr, pair = min(found)
    return Shared(lr, -int(depth), pair)


def _lowest(curve: dict[float, float], step: float) -> float:
    return min(nll for at, nll in curve.items() if at <= step)


def leads_of_controls(found: list[Duel]) -> dict[str, Any] | None:
    """Mean leads over LoRA of both controls and of OLoRA, over the cells and ranks that have all three; None: none.

    Nothing is favored where a best rate is at the edge of its grid.
    """
    by_place = {(d.cell, d.rank, d.method): d for d in found}
    names = ("orthonormal", "spectrum", "olora")
    places = sorted({(d.cell, d.rank) for d in found})
    both = [(c, r) for c, r in places if all((c, r, name) in by_place for name in names)]
    if not both:
        return None
    leads = {name: [by_place[c, r, name].lead for c, r in both] for name in names}
    wins = beyond((by_place[c, r, "olora"] for c, r in both), "own").wins
    edges = sum(any(by_place[c, r, name].at_edge for name in names) for c, r in both)
    means = {name: statistics.mean(values) for name, values in leads.items()}
    return {
        "cells": len(both),
        "ranks": sorted({r for _, r in both}),
        "means": means,
        "ahead": wins,
        "favored": favored(leads, wins, edges),
    }
