"""Time rankwise beside TRL + PEFT, interleaved on one machine in one run. Nothing else may run meanwhile.

    make bench                                      # all cases, about a quarter of an hour on two cores
    .venv/bin/python benchmarks/run.py --quick      # step, evaluation, packing
    .venv/bin/python benchmarks/run.py --data ../shared/data/gsm8k --only training_step

Writes one file per case to benchmarks/results/. See README.md for what the letters mean.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import setting as shared
from cases import CASES, QUICK, remember
from peers import trl

from rankwise.engine import PackJob, train_pack
from rankwise.files import write_json
from rankwise.studies.results.provenance import provenance
from rankwise.studies.running.allocator import keep_freed_memory


def alone(setting: shared.Setting, peer: list[str], folder: str) -> None:
    """Take an optimizer step of one peer (two of a pack) and print the peak memory of this process."""
    spec = shared.lora_spec(steps=1)
    if peer[0] == "K":
        specs = [
            replace(shared.lora_spec(16, steps=2), batch=1, micro_batch=1, seed=seed) for seed in range(int(peer[1]))
        ]
        train_pack(setting.base, [PackJob(one) for one in specs], setting.splits, forward=setting.forward)
        print(json.dumps({"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
        return
    if peer[0] == "P":
        step, _ = setting.ours(spec)
    else:
        choice = {"micro_batch": int(peer[1]), "sort": bool(int(peer[2]))} if peer[0] == "T" else None
        step, _ = trl(setting, spec, folder, choice)
    step()
    print(json.dumps({"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def each_in_its_process(names: list[str], args: argparse.Namespace) -> None:
    """Run every case in a process of its own: peers keep their models, and one case's memory must not slow the next."""
    command = [sys.executable, __file__, "--data", args.data, "--out", str(args.out)]
    command += ["--model", args.model] if args.model else []
    command += ["--quick"] if args.quick else []
    found = args.out / "training_step.json"
    for name in names:
        tuned = json.loads(found.read_text())["result"]["tuned"] if name != names[0] and found.exists() else None
        subprocess.run([*command, "--only", name, *(["--tuned", json.dumps(tuned)] if tuned else [])], check=True)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="default: the default base")
    parser.add_argument("--data", default="word-problems:en", help="the targets are stated for GSM8K text")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=list(CASES), action="append")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--alone", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--tuned", help=argparse.SUPPRESS)
    args = parser.parse_args()
    names = args.only or (QUICK if args.quick else list(CASES))
    if len(names) > 1 and not args.alone:
        each_in_its_process(names, args)
        return
    if args.tuned:
        remember(json.loads(args.tuned))
    keep_freed_memory()
    threads = shared.threads()
    setting = shared.load(args.model, args.data)
    with tempfile.TemporaryDirectory() as folder:
        if args.alone:
            alone(setting, args.alone, folder)
            return
        about = {"data": args.data, "model": setting.base.name, "threads": threads, **provenance("")}
        for name in names:
            result = CASES[name](setting, folder, args.quick)
            write_json(args.out / f"{name}.json", {"result": result, "setup": about})
            print(name, json.dumps(result, indent=2), flush=True)


if __name__ == "__main__":
    main()
