"""From filled pools to ``calibration.json``: the truth, rates at the boundary, what is said as it is, and power."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.calibration import pool as pools
from benchmarks.calibration.looks import BOTH, margins, truths
from benchmarks.calibration.pool import Pool
from benchmarks.calibration.power import power
from benchmarks.calibration.rates import Plan, boundary_rates, unshifted
from benchmarks.calibration.recipe import CONDITIONS, FULL


def calibrate(folder: Path, runs: int, plan: Plan, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Draw from the first ``runs`` runs of every condition in ``folder``; return plain JSON."""
    pool = pools.read(folder, runs)
    started = time.monotonic()
    found = {
        "setup": json.loads((folder / "setup.json").read_text(encoding="utf-8")),
        "runs": runs,
        "seconds_per_run": pools.seconds(folder, runs),
        "plan": asdict(plan),
        "pool": facts(pool),
        "unshifted": unshifted(pool, plan),
        "power": power(pool, plan),
        "boundary": boundary_rates(pool, plan, tell),
    }
    return {**found, "seconds": time.monotonic() - started}


def facts(pool: Pool) -> dict[str, Any]:
    """What the pool says: losses, their spread over seeds and over examples, and regrets in margins."""
    margin = margins(pool)
    tokens = pool.tokens.sum()
    conditions = {}
    for name in CONDITIONS:
        rows, regret = pool.runs[name], truths(pool, name)["regret"]
        per_run, difference = rows.sum(axis=1) / tokens, (rows - pool.runs[FULL]).sum(axis=1) / tokens
        by_example = (rows - pool.runs[FULL]).mean(axis=0) - regret * pool.tokens
        conditions[name] = {
            "nll": pool.mean(name),
            "seed_sd": float(per_run.std(ddof=1)),
            "skewness": _skewness(per_run),
            "regret": regret,
            "paired_seed_sd": float(difference.std(ddof=1)),
            "paired_skewness": _skewness(difference) if name != FULL else 0.0,
            "example_sd": float(by_example.std(ddof=1) / pool.tokens.mean()),
            "margins": regret / min(margin[c] for c in BOTH),
            "margins_gain_only": regret / margin["keeps"],
        }
    return {"base_nll": pool.base_mean, "margin": margin, "conditions": conditions}


def _skewness(values: np.ndarray) -> float:
    away = values - values.mean()
    return float(np.mean(away**3) / np.mean(away**2) ** 1.5)
