"""Measures an arm alone in a short fresh process: seconds per step and peak memory.

    python -m rankwise.studies.results.measure '{"model": ..., "spec": ..., "examples": ...}'

A fresh process, because memory that an earlier run freed would hide the next one's peak.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rankwise.data import Encoded, Splits
from rankwise.engine import TrainSpec
from rankwise.errors import RunError

STEPS = 4  # the first warms up caches and allocators and is left out of the time
PATIENCE = 600.0  # seconds


def measure(model: str, dtype: str, spec: TrainSpec, examples: Sequence[Encoded], threads: int) -> dict[str, float]:
    """Return ``{"seconds_per_step", "peak_memory_bytes", "base_memory_bytes"}`` of one arm, trained alone.

    ``base_memory_bytes`` is the process with the model loaded and nothing trained yet.

    Raises:
        RunError: the process failed (for instance out of memory); the message ends with its last words.

    The process starts where this one is, so a relative ``model`` is the same folder there.
    """
    request = {
        "model": model,
        "dtype": dtype,
        "spec": replace(spec, steps=STEPS, eval_steps=()).to_dict(),
        "examples": [asdict(e) for e in examples],
        "threads": threads,
    }
    # -P: a file in this folder that is named like a module (random.py) must not take its place.
    command = [sys.executable, "-P", "-m", "rankwise.studies.results.measure"]
    here = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    child = _worker(command, here)
    with child:
        try:
            out, err = child.communicate(json.dumps(request), timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise RunError(
                f"time and memory were not measured: the process that measures (pid {child.pid}) has not answered for "
                f"{PATIENCE:.0f} s and was stopped; repeat the command, or leave it out with --set measure=false"
            ) from None
        finally:
            child.kill()  # nothing happens to one that has ended
    if child.returncode:
        last = f"killed by signal {-child.returncode}" if child.returncode < 0 else "no message"
        raise RunError(f"time and memory were not measured: {(err.strip().splitlines() or [last])[-1]}")
    measured: dict[str, float] = json.loads(out.strip().splitlines()[-1])
    return measured


def _worker(command: list[str], here: str) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": here},
        )
    except OSError as error:
        raise RunError(f"time and memory were not measured: {error}") from None


def _peak() -> int:
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    if platform.system() == "Linux":  # mypy reads sys.platform as a constant
        # Not getrusage: its maximum is inherited through fork and exec, so it would be the whole study's.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kilobytes on the BSDs
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _die_with_parent() -> None:
    """Ask Linux to end this process when the study is killed; elsewhere it ends by itself after a few steps."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _main() -> None:
    _die_with_parent()
    import torch

    from rankwise.engine import Forward
    from rankwise.engine.train import Run
    from rankwise.models import load_base
    from rankwise.studies.running.allocator import keep_freed_memory
    from rankwise.studies.running.device import pick_device

    keep_freed_memory()
    request: dict[str, Any] = json.loads(sys.stdin.read())
    torch.set_num_threads(request["threads"])
    base = load_base(request["model"], dtype=getattr(torch, request["dtype"]), device=pick_device())
    examples = [Encoded(tuple(e["input_ids"]), tuple(e["target_mask"])) for e in request["examples"]]
    spec = TrainSpec.from_dict(request["spec"])
    loaded = _peak()
    run = Run(base, Forward(base.model), spec, Splits(tuple(examples), (), (), "", (), ""))
    times = []
    for _ in range(spec.steps):
        started = time.perf_counter()
        run.train_step()
        times.append(time.perf_counter() - started)
    measured = {"seconds_per_step": sorted(times[1:])[len(times[1:]) // 2], "peak_memory_bytes": _peak()}
    print(json.dumps({**measured, "base_memory_bytes": loaded}))


if __name__ == "__main__":
    _main()
