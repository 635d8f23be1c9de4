"""Controls on the real model: full fine-tuning against itself must not fall short, a crippled adapter must.

    make controls                                  # default model and data, at most six minutes on two idle cores
    .venv/bin/python benchmarks/controls.py --data ../shared/data/svamp

Writes benchmarks/results/controls.json and exits with 1 when a control comes out wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import torch
from known_verdicts import Setting, run_controls

from rankwise.data import Limits, load_data
from rankwise.files import write_json
from rankwise.methods import lora
from rankwise.models import load_base
from rankwise.studies.results.provenance import provenance
from rankwise.studies.running.allocator import keep_freed_memory
from rankwise.studies.running.device import pick_device

# Learning rates that `rankwise study` picks on the default model and data; one key projection is all that may move.
QUICK = Setting(
    crippled=lora(rank=1, placement=r"regex:layers\.0\.self_attn\.k_proj$"),
    full_lr=1e-4,
    crippled_lr=1e-3,
    steps=12,
    batch=8,
)


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="default")
    parser.add_argument("--data", default="word-problems")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "controls.json")
    args = parser.parse_args()
    keep_freed_memory()
    started = time.monotonic()
    base = load_base(args.model, dtype=torch.bfloat16, device=pick_device())
    limits = Limits(train=96, selection=16, test=64)
    splits = load_data(args.data, base.tokenizer, limits=limits, max_length=256)
    load = os.getloadavg()[0]
    found = run_controls(base, splits, QUICK, tell=lambda text: print(text, flush=True))
    for control in found["controls"]:
        print(f"{'passed' if control['passed'] else 'FAILED'}  {control['sentence']}")
    facts = {
        "model": base.name,
        "data": splits.name,
        "steps": QUICK.steps,
        "batch": QUICK.batch,
        "test": len(splits.test),
        "seeds": {"reference": list(QUICK.seeds), "again": list(QUICK.other_seeds)},
        "full_lr": QUICK.full_lr,
        "crippled": repr(QUICK.crippled),
        "crippled_lr": QUICK.crippled_lr,
        "cpu": provenance("")["cpu"],
        "load_average_before": load,
    }
    write_json(args.out, {**found, "seconds": time.monotonic() - started, "setup": facts})
    print(json.dumps({"passed": found["passed"], "seconds": round(time.monotonic() - started)}))
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
