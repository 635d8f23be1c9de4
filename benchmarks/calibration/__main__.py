"""make calibration: is the verdict right as often as it promises on real runs?

    make calibration                                   # pretrains a small Llama first
    make calibration MODEL=path/to/model FOLDER=runs/calibration RUNS=400 EXAMPLES=5000

Fills FOLDER with pools of runs (killed, the same command goes on), draws studies from them, writes
benchmarks/results/calibration.json and docs/studies/calibration.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks.calibration.fill import STEPS, fill
from benchmarks.calibration.rates import Plan
from benchmarks.calibration.studies import calibrate
from rankwise.errors import UsageError
from rankwise.files import write_json

RESULTS = Path(__file__).parents[1] / "results" / "calibration.json"
FEWEST_RUNS = 24  # twelve seeds of the reference and twelve of the arm


def main() -> int:
    """Fill, draw, write."""
    parser = argparse.ArgumentParser(prog="make calibration", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", help="a folder in the Hugging Face layout; none: a small one is trained first")
    parser.add_argument("--folder", type=Path, default=Path("runs/calibration"))
    parser.add_argument("--runs", type=int, default=400, help="of each condition")
    parser.add_argument("--examples", type=int, default=5000, help="that every run is scored on")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--studies", type=int, default=Plan.studies)
    parser.add_argument("--resamples", type=int, default=Plan.resamples)
    parser.add_argument("--fill-only", action="store_true", help="train and score, draw nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()

    def tell(text: str) -> None:
        print(text, flush=True)

    try:
        plan = Plan(studies=args.studies, resamples=args.resamples)
        _check(args.runs, args.examples, plan)
        fill(args.folder, args.model or None, runs=args.runs, examples=args.examples, steps=args.steps, tell=tell)
        if args.fill_only:
            return 0
        write_json(args.out, calibrate(args.folder, args.runs, plan, tell))
        if args.out == RESULTS:
            from docs.calibration import write

            write()
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _check(runs: int, examples: int, plan: Plan) -> None:
    if runs < FEWEST_RUNS:
        raise UsageError(f"RUNS must be at least {FEWEST_RUNS}, for studies of disjoint seeds; found {runs}.")
    if examples < max(plan.examples):
        raise UsageError(f"EXAMPLES must be at least {max(plan.examples)}, the largest test split; found {examples}.")
    if plan.studies < 1 or plan.resamples < 2:
        raise UsageError(
            f"--studies must be at least 1 and --resamples at least 2; found {plan.studies}, {plan.resamples}."
        )


if __name__ == "__main__":
    sys.exit(main())
