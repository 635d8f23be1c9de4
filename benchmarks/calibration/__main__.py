"""make calibration: is the verdict right as often as it promises on real runs?

    make calibration                                   # pretrains a small Llama first
    make calibration MODEL=path/to/model FOLDER=runs/calibration RUNS=400 EXAMPLES=5000

Fills FOLDER with pools of runs (killed, the same command goes on).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks.calibration.fill import STEPS, fill
from rankwise.errors import UsageError


def main() -> int:
    """Fill, draw, write."""
    parser = argparse.ArgumentParser(prog="make calibration", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model")
    parser.add_argument("--folder", type=Path, default=Path("runs/calibration"))
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    try:
        fill(
            args.folder, args.model or None, runs=args.runs, examples=args.examples, steps=args.steps,
            tell=lambda text: print(text, flush=True),
        )  # fmt: skip
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
