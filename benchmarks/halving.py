"""Successive halving against the full grid: examples saved, and the regret on held-out data.

    make bench-halving

Eight small sweeps as a user would run them: full fine-tuning and LoRA at four ranks, six learning rates each, over two
and a half decades; a tiny model, first trained on English word problems in four of them. Every run of the full grid is
trained to its end. Halving is the study's own code deciding over the same curves, which is exact: a paused run has the
bits of one that was never paused (tests/engine/test_until.py).

Regret = test NLL of what halving chooses - test NLL of what the full grid chooses, each by its selection score, at the
reference and at the best adapter; beside it the standard error of that paired difference over test examples. Writes
benchmarks/results/halving.json. Two settings: `arms` stops whole arms too (what a search for one winner wants), `rates`
is the default of studies, which draw every arm to its end.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch

from rankwise.adapters import Full
from rankwise.data import Limits, Splits, load_data
from rankwise.engine import Forward, RunResult, TrainSpec, evaluate, train
from rankwise.engine.train import Run
from rankwise.files import write_json
from rankwise.models import Base, load_base
from rankwise.studies.config import StudyConfig, parse_config
from rankwise.studies.presets.arms import full_arm, lora_arm
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.results.provenance import provenance
from rankwise.studies.search.screening import Screening

Runs = dict[tuple[str, float], RunResult]
RATES = {"full": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2), "lora": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)}
SIZES = Limits(160, 32, 96)


@dataclass(frozen=True)
class Sweep:
    """One grid: what is learned, from which start, at which ranks and how."""

    data: str
    warm: bool
    ranks: tuple[int, ...]
    placement: str = "all-linear"
    schedule: str = "constant"
    batch: int = 8
    seed: int = 0

    @property
    def name(self) -> str:
        """As the table shows it."""
        start = "warm" if self.warm else "random"
        ranks = ",".join(map(str, self.ranks))
        return f"{self.data}, {start} start, r={ranks} {self.placement}, {self.schedule}, batch {self.batch}"


# None of these was looked at while the rules of halving were made; those that were are in the history of this file.
SWEEPS = (
    Sweep("code-book", True, (1, 4, 16, 64), seed=11),
    Sweep("word-problems:vi", True, (1, 4, 16, 64), seed=12),
    Sweep("code-book", False, (1, 2, 8, 32), seed=13),
    Sweep("word-problems:en", False, (1, 4, 16, 64), schedule="linear", seed=14),
    Sweep("code-book", True, (1, 4, 16, 64), placement="mlp", schedule="cosine", seed=15),
    Sweep("word-problems:vi", True, (1, 2, 8, 32), placement="attention", batch=4, seed=16),
    Sweep("word-problems:en", False, (2, 8, 32, 64), placement="mlp", batch=16, seed=17),
    Sweep("code-book", False, (1, 4, 16, 64), schedule="cosine", batch=4, seed=18),
)


def warm(base: Base, steps: int) -> Base:
    """A copy of the tiny model that has read English word problems, so that there is something to fine-tune."""
    splits = load_data("word-problems:en", base.tokenizer, seed=99, limits=Limits(600, 16, 16), max_length=256)
    run = Run(base, Forward(base.model), TrainSpec(Full(), lr=3e-3, steps=steps, batch=8), splits)
    for _ in range(steps):
        run.train_step()
    learned = copy.deepcopy(base.model)
    learned.load_state_dict(run.trainee.model.state_dict())  # type: ignore[union-attr]
    run.trainee.close()
    learned.requires_grad_(False).eval()
    return Base(**{**base.__dict__, "model": learned})


def configure(sweep: Sweep, steps: int, *, arms: bool) -> StudyConfig:
    """The sweep as a study with halving and nothing else: no widening, no fitted rates."""
    every = [full_arm(), *(lora_arm(rank, sweep.placement) for rank in sweep.ranks)]
    values = resolve_study("rank", "smoke").to_dict()
    values |= {
        "arms": [arm.model_dump(mode="json") for arm in every],
        "learning_rates": {arm.name: RATES["full" if arm.method == "full" else "lora"] for arm in every},
        **{"steps": steps, "eval_every": steps // 10, "batch": sweep.batch, "micro_batch": 8, "seed": sweep.seed},
        **{"schedule": sweep.schedule, "fresh_seeds": [100], "widen": 0, "refine": None, "search": "halving"},
        "halving": {"eta": 3, "first": 0.2, "arms": arms},
    }
    return parse_config(values)


def full_grid(base: Base, splits: Splits, config: StudyConfig) -> Runs:
    """Train every run to its end and score it on the test split."""
    forward = Forward(base.model)
    return {
        (arm.name, lr): train(base, config.train_spec(arm, lr, config.seed), splits, forward=forward, test=True)
        for arm in config.arms
        for lr in config.learning_rates[arm.name]
    }


def compare(config: StudyConfig, runs: Runs, start: float, examples: int) -> dict[str, Any]:
    """Halve the finished grid; return examples and regrets."""
    screening = Screening(config, start, lambda jobs: [runs[job.arm.name, job.lr] for job in jobs])
    halved = {name: arm for name, arm in screening.run().items() if not arm.stopped and arm.best_lr is not None}
    price = screening.price(examples)
    adapters = {key for key in runs if key[0] != "full"}
    chosen = {
        "reference": [("full", halved["full"].best_lr or 0.0), best(runs, set(runs) - adapters)],
        "best adapter": [
            best(runs, {(name, arm.best_lr or 0.0) for name, arm in halved.items() if name != "full"}),
            best(runs, adapters),
        ],
    }
    found: dict[str, Any] = {
        "examples": price.spent,
        "examples_full_grid": price.full_grid,
        "ratio": price.full_grid / price.spent,
    }
    for what, (ours, theirs) in chosen.items():
        regret, error = paired(runs[ours], runs[theirs])
        found[what] = {"halving": ours, "full_grid": theirs, "regret": regret, "standard_error": error}
    gains = []
    for name, arm in halved.items():
        theirs = best(runs, {key for key in runs if key[0] == name})
        low = runs[theirs].selection_nll or 0.0
        gains.append((paired(runs[name, arm.best_lr or 0.0], runs[theirs])[0]) / (start - low))
    found["arm_regrets_of_gain"] = gains
    return found


def best(runs: Runs, among: set[tuple[str, float]]) -> tuple[str, float]:
    """The run with the lowest selection NLL."""
    finished = [key for key in among if runs[key].status == "done"]
    return min(finished, key=lambda key: (runs[key].selection_nll, key))


def paired(ours: RunResult, theirs: RunResult) -> tuple[float, float]:
    """Difference of test NLL per token, and its standard error over examples (ratio of sums, delta method)."""
    assert ours.test
    assert theirs.test
    targets = np.array(ours.test.targets)
    differences = np.array(ours.test.nll) - np.array(theirs.test.nll)
    mean = differences.sum() / targets.sum()
    residuals = differences - mean * targets
    n = len(targets)
    return float(mean), math.sqrt(float((residuals**2).sum()) * n / (n - 1)) / float(targets.sum())


def main() -> None:
    """Train the grids, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--only", type=int, help="one sweep by its number, from 1; nothing is written")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "halving.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # tiny matrices gain nothing from two
    random_start = load_base("tiny", dtype=torch.float32)
    warm_start = warm(random_start, steps=10 * arguments.steps)
    rows = []
    for sweep in SWEEPS if arguments.only is None else SWEEPS[arguments.only - 1 :][:1]:
        base = warm_start if sweep.warm else random_start
        splits = load_data(sweep.data, base.tokenizer, seed=sweep.seed, limits=SIZES, max_length=256)
        start = evaluate(Forward(base.model), splits.selection).mean
        runs = full_grid(base, splits, configure(sweep, arguments.steps, arms=True))
        row: dict[str, Any] = {"sweep": sweep.name, "runs": len(runs), "start_nll": start}
        for setting, arms in (("arms", True), ("rates", False)):
            row[setting] = compare(configure(sweep, arguments.steps, arms=arms), runs, start, len(splits.train))
        rows.append(row)
        show(row)
    enough = sum(holds(row["arms"]) for row in rows)
    print(f"{enough} of {len(rows)} sweeps: at least 3 times fewer examples at a regret below one standard error")
    if arguments.only is None:
        write_json(arguments.out, {"steps": arguments.steps, "sweeps": rows, "provenance": provenance("bench-halving")})


def holds(found: dict[str, Any]) -> bool:
    """The claim: 3 times fewer examples, regret at most one standard error (0 where the choice is the same)."""
    sides = (found["reference"], found["best adapter"])
    return found["ratio"] >= 3 and all(side["regret"] <= side["standard_error"] for side in sides)


def show(row: dict[str, Any]) -> None:
    """Print one sweep."""
    print(row["sweep"], flush=True)
    for setting in ("arms", "rates"):
        found = row[setting]
        sides = "; ".join(
            f"{what} {found[what]['regret']:+.4f} (SE {found[what]['standard_error']:.4f})"
            for what in ("reference", "best adapter")
        )
        worst = max(found["arm_regrets_of_gain"])
        print(
            f"  {setting:5}  {found['ratio']:.2f}x fewer examples; regret: {sides}; worst arm {worst:.2%} of its gain"
        )


if __name__ == "__main__":
    main()
