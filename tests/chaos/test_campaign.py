"""Damaged and hostile inputs for every reader, through the command: a few here, 2,000 by `make test-slow`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def campaign(*options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.chaos.campaign", *map(str, options)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    return done.stdout.splitlines()[-1]


def test_a_few_hostile_inputs():
    """A few, and those that failed once; tests/chaos/test_readers.py tries a thousand without the command around."""
    said = campaign("--quick", "--inputs", 4, "--flips", 0)
    assert "0 tracebacks, 0 over their time limit, 0 other faults" in said


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_many_hostile_inputs():
    said = campaign("--inputs", 2000, "--flips", 1000, "--seed", 1)
    assert "0 tracebacks, 0 over their time limit, 0 other faults, 0 undetected of 1,000 flips" in said
