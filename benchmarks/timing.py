"""Clocks: peers take turns, A B C A B C; the best matrix-product rate; the memory of a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from setting import Step

ROWS = (32, 64, 128, 256, 512, 1024)


def interleave(steps: dict[str, Step], rounds: int) -> dict[str, Any]:
    """Time each peer once a round after one warm-up; return seconds (min, median) and the load average before."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    load = os.getloadavg()[0]
    for round_ in range(rounds + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if round_:
                times[name].append(time.perf_counter() - started)
    seconds = {name: {"min": min(t), "median": sorted(t)[len(t) // 2]} for name, t in times.items()}
    return {"seconds": seconds, "load_average_before": load}


def ratios(result: dict[str, Any], mine: str = "P") -> dict[str, Any]:
    """Add ``speedup_over_<peer>``: ratios of the minima."""
    seconds = result["seconds"]
    own = seconds[mine]["min"]
    named = {f"speedup_over_{peer}": t["min"] / own for peer, t in seconds.items() if peer != mine}
    return {**result, **named}


def gemm_peak(dtype: torch.dtype = torch.bfloat16) -> dict[str, float]:
    """Return operations per second of a frozen 576 -> 1536 product, by rows, and the best."""
    W = torch.randn(1536, 576).to(dtype)
    rates = {}
    for rows in ROWS:
        x = torch.randn(rows, 576).to(dtype)
        best = 0.0
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(30):
                torch.nn.functional.linear(x, W)
            best = max(best, 30 * 2 * rows * 576 * 1536 / (time.perf_counter() - started))
        rates[str(rows)] = best
    return {**rates, "best": max(rates.values())}


def peak_memory(arguments: list[str]) -> int:
    """Return the peak resident bytes of ``run.py --alone ...`` in a process of its own."""
    script = str(Path(__file__).parent / "run.py")
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout.strip().splitlines()[-1])["peak_bytes"])
