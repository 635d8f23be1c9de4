"""What happened inside an arm's run: its events, the rank of every layer over time, and the ranks of its total update.

From one run: the first fresh seed that finished, else the best of the search. It is recorded for arms with
events, and for all arms of a survey of group "dynamics".
"""

from __future__ import annotations

from typing import Any

from rankwise.adapters import Adapter, Full
from rankwise.adapters.allocation.base import depth
from rankwise.engine import RunResult
from rankwise.engine.events.summary import summarize
from rankwise.studies.config import StudyConfig
from rankwise.studies.running.outcome import ArmOutcome

GROUP = "dynamics"


def shows_dynamics(config: StudyConfig, target: Adapter | Full) -> bool:
    """Return whether a run of ``target`` is worth the measurement."""
    if not isinstance(target, Adapter):
        return False
    return bool(target.events) or target.optimizer.renews or GROUP in config.survey


def dynamics(outcome: ArmOutcome) -> dict[str, Any] | None:
    """Return the arm's ``events``, ``ranks`` and ``update``, or None when there is nothing to tell.

    ``ranks`` has one entry for every measured firing, step 0 first: ``step`` and the mean rank of every layer by depth.
    ``update`` has the mean, least and most of rank and effective rank over the layers.
    """
    run = _run(outcome)
    if run is None or not (run.events or run.spectrum):
        return None
    return {"events": summarize(run.events), "ranks": _ranks(run), "update": update_ranks(run)}


def _run(outcome: ArmOutcome) -> RunResult | None:
    done = [run for run in outcome.fresh.values() if run is not None and run.status == "done"]
    found = [run for run in outcome.screening.values() if run is not None and run.status == "done"]
    best = sorted(found, key=lambda run: run.selection_nll if run.selection_nll is not None else float("inf"))
    return next(iter([*done, *best]), None)


def _ranks(run: RunResult) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for event in run.events:
        if "ranks_after" not in event:
            continue
        if not found:
            found.append({"step": 0, "layers": _by_depth(event["ranks_before"])})
        found.append({"step": event["step"], "layers": _by_depth(event["ranks_after"])})
    return found


def _by_depth(ranks: dict[str, int]) -> list[float]:
    layers: dict[int, list[int]] = {}
    for module, rank in ranks.items():
        layers.setdefault(depth(module), []).append(rank)
    return [sum(own) / len(own) for _, own in sorted(layers.items())]


def update_ranks(run: RunResult) -> dict[str, Any] | None:
    """Return over how many layers, and the mean, least and most of rank and effective rank; None when not measured."""
    if not run.spectrum:
        return None
    found: dict[str, Any] = {"layers": len(run.spectrum)}
    for key in ("rank", "effective"):
        values = [own[key] for own in run.spectrum.values()]
        found[key] = {"mean": sum(values) / len(values), "low": min(values), "high": max(values)}
    return found


def update_words(run: RunResult) -> list[str]:
    """Return the ranks of the total update as one line of text; none when they were not measured."""
    found = update_ranks(run)
    if found is None:
        return []
    rank, effective = found["rank"], found["effective"]
    return [
        f"total update: rank {rank['mean']:.3g} ({rank['low']:g} to {rank['high']:g}), effective rank "
        f"{effective['mean']:.3g} ({effective['low']:.3g} to {effective['high']:.3g}) over {found['layers']} layers"
    ]
