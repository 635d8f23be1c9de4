"""Two or more study folders side by side; scores are compared where base and test examples are the same.

Per-example scores come from the ledgers, so the comparison has the same inference as a verdict: seeds crossed with
examples, paired by example always and by seed when both sides ran the same seeds. The first study is the yardstick.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rankwise.errors import UsageError
from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.store import Ledger
from rankwise.stats.contrast import regret
from rankwise.stats.multiplicity import holm
from rankwise.stats.scores import Scores
from rankwise.stats.verdict_words import NO_VERDICT
from rankwise.studies.cells import Cell
from rankwise.studies.results.file import read_cells, read_results
from rankwise.studies.results.schema import Results

Json = dict[str, Any]
LEVEL = 0.05
SAME = 1e-6  # largest relative difference of base scores that still are those of the same examples
NOT_SETTINGS = frozenset({"arms", "learning_rates", "preset", "scale", "checkpoint_seconds", "measure"})


@dataclass(frozen=True)
class Side:
    """One finished study: its folder, settings, results and per-example test scores by arm (and of the base)."""

    name: str
    config: Json
    results: Results
    base: Scores
    arms: dict[str, Scores]


def compare(folders: list[Path]) -> Json:
    """Return ``{"studies", "cells"}``: in each cell, settings that differ, comparability, and arms side by side.

    Raises:
        UsageError: fewer than two folders, one that is no finished study, or no cell that two of them share.
    """
    if len(folders) < 2:
        raise UsageError("a comparison needs at least two study folders.")
    loaded = [_open(folder) for folder in folders]
    if all(len(cells) == 1 for cells in loaded):  # one model and data set each: side by side, whatever they are
        groups = {"": [next(iter(cells.values())) for cells in loaded]}
    else:
        slugs = list(dict.fromkeys(slug for cells in loaded for slug in cells))
        shared = {slug: [cells[slug] for cells in loaded if slug in cells] for slug in slugs}
        groups = {slug: sides for slug, sides in shared.items() if len(sides) > 1}
        if not groups:
            raise UsageError("these studies share no cell (model and data); compare studies of the same ones.")
    return {"studies": [str(folder) for folder in folders], "cells": [_cell(s, sides) for s, sides in groups.items()]}


def _open(folder: Path) -> dict[str, Side]:
    """Return the finished studies in a folder by cell."""
    summary = folder / "cells.json"
    if summary.exists() and not (folder / "results.json").exists():
        names = read_cells(summary)
        return {name: _side(folder / name, f"{folder}/{name}") for name in names}
    side = _side(folder, str(folder))
    return {Cell(str(side.config.get("model")), str(side.config.get("data"))).slug: side}


def _side(path: Path, name: str) -> Side:
    study = StudyFolder(path)
    try:
        found = read_results(study.results_file)["results"]
    except FileNotFoundError:
        raise UsageError(f"{path} has no finished study; repeat its command first.") from None
    if kind := found.get("kind"):
        raise UsageError(
            f"{path} is of kind {kind!r}, which has no arms beside a reference; compare studies that have."
        )
    results: Results = found
    with Ledger(path, read_only=True) as ledger:
        ended = [(run, (run.result or {}).get("test")) for run in ledger.runs() if run.status == "done"]
    scored = [(run.label.split(" ")[0], run.spec.get("seed"), test) for run, test in ended if test]
    base = [score for arm, _, score in scored if arm == "base" and _mean(score) == results["base"]["test_nll"]]
    if not base:
        raise UsageError(f"the ledger in {path} does not hold the scores of its results.json; run the study again.")
    arms = {}
    for arm in results["arms"]:
        # A ledger may hold runs of other learning rates and versions; those of the results are found by their score.
        wanted = {run["seed"]: run["test_nll"] for run in arm["fresh"] if run["test_nll"] is not None}
        rows = {
            seed: score
            for owner, seed, score in scored
            if owner == arm["name"] and seed in wanted and _mean(score) == wanted[seed]
        }
        if rows and len(rows) == len(wanted):
            nll = np.array([rows[seed]["nll"] for seed in wanted])
            arms[arm["name"]] = Scores(nll, np.array(base[-1]["targets"]), tuple(wanted))
    return Side(name, study.read_config(), results, Scores.without_seed(base[-1]["nll"], base[-1]["targets"]), arms)


def _mean(score: Json) -> float:
    return float(sum(score["nll"]) / sum(score["targets"]))


def _cell(slug: str, sides: list[Side]) -> Json:
    first, others = sides[0], sides[1:]
    reasons = [_incomparable(first, side) for side in others]
    names = list(dict.fromkeys(arm["name"] for side in sides for arm in side.results["arms"]))
    differences = [_differences(first, side) if why is None else {} for side, why in zip(others, reasons, strict=True)]
    return {
        "cell": slug,
        "sides": [
            {
                "study": side.name,
                "model": side.results["cell"]["model"],
                "data": side.results["cell"]["data"],
                "headline": side.results["verdict"]["headline"],
                "recommended": side.results["verdict"]["recommended"],
                "base_test_nll": side.results["base"]["test_nll"],
            }
            for side in sides
        ],
        "not_comparable": reasons,
        "settings": _settings(sides),
        "arms": [_arm(name, sides, [found.get(name) for found in differences]) for name in names],
    }


def _incomparable(first: Side, other: Side) -> str | None:
    """Return why two studies' scores cannot be subtracted, or None."""
    ours, theirs = first.results["cell"], other.results["cell"]
    if ours["base_fingerprint"] != theirs["base_fingerprint"]:
        return f"another base: {ours['model']} and {theirs['model']} have different weights or dtype"
    if ours["data_fingerprint"] == theirs["data_fingerprint"]:
        return None
    same = np.array_equal(first.base.tokens, other.base.tokens)
    # Other training examples move the fingerprint too; the untouched model tells whether the test examples differ.
    if same and np.allclose(first.base.nll, other.base.nll, rtol=SAME, atol=0):
        return None
    return f"other test examples: {ours['data']} ({ours['test']}) and {theirs['data']} ({theirs['test']})"


def _differences(first: Side, other: Side) -> dict[str, Json]:
    """Return other - first for every arm that both ran on fresh seeds, p-values by Holm over the arms.

    There is no verdict where one of the two has its best learning rate at the edge of its grid.
    """
    shared = [name for name in other.arms if name in first.arms]
    found = {name: regret(other.arms[name], first.arms[name], first.base) for name in shared}
    adjusted = holm([float(found[name].p_value()) for name in shared])
    out = {}
    for name, p in zip(shared, adjusted, strict=True):
        low, high = (float(end) for end in found[name].interval())
        estimate = float(found[name].estimate)
        word = "no difference shown" if p > LEVEL else "lower" if estimate < 0 else "higher"
        if not (_bracketed(first, name) and _bracketed(other, name)):
            word = NO_VERDICT
        seeds = "paired" if set(first.arms[name].seeds) == set(other.arms[name].seeds) else "separate"
        out[name] = {
            "estimate": estimate, "low": low, "high": high, "p": p, "word": word, "seeds": seeds,
            "for_these_seeds": found[name].for_these_seeds,
        }  # fmt: skip
    return out


def _bracketed(side: Side, name: str) -> bool:
    """Whether the arm's best learning rate there lies inside its grid."""
    return next(bool(arm["bracketed"]) for arm in side.results["arms"] if arm["name"] == name)


def _settings(sides: list[Side]) -> list[Json]:
    """Return the settings in which the studies differ, as text per study."""
    names = list(dict.fromkeys(name for side in sides for name in side.config))
    rows = []
    for name in names:
        values = [json.dumps(side.config.get(name), ensure_ascii=False) for side in sides]
        if name not in NOT_SETTINGS and len(set(values)) > 1:
            rows.append({"setting": name, "values": values})
    return rows


def _arm(name: str, sides: list[Side], differences: list[Json | None]) -> Json:
    found = [next((arm for arm in side.results["arms"] if arm["name"] == name), None) for side in sides]
    label = next(arm["label"] for arm in found if arm is not None)
    shown = [
        None
        if arm is None
        else {
            "verdict": arm["verdict"]["word"],
            "recovery": arm["recovery"],
            "test_nll": arm["test_nll"],
            "best_lr": arm["best_lr"],
            "seeds": len(arm["fresh"]),
        }
        for arm in found
    ]
    return {"name": name, "label": label, "sides": shown, "differences": differences}
