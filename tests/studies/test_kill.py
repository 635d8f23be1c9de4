"""Kill -9 at random moments, run again: the results are byte-identical to an undisturbed study's."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

COMMAND = [
    *(sys.executable, "-m", "rankwise", "study", "smoke", "--methods", "lora-r4,olora", "--set", "steps=10"),
    *("--set", "eval_every=2", "--set", "sizes={train: 32, selection: 8, test: 12}"),
]


def start(out):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [*COMMAND, "--out", str(out)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def results(out):
    return json.dumps(json.loads((out / "results.json").read_text())["results"], sort_keys=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "s"
    process = start(out)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return results(out)


def kill_while_training(out, wait):
    """Start, wait until the first run is in the ledger, then ``wait`` seconds more; True if the kill hit."""
    process = start(out)
    deadline = time.monotonic() + 120
    while not (out / "runs").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(wait)
    hit = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return hit


def check(out, whole, kills, seed):
    clock = random.Random(seed)
    hits = sum(kill_while_training(out, clock.uniform(0.0, 2.5)) for _ in range(kills))
    assert hits >= 1, "no kill hit a running study; the test shows nothing"
    process = start(out)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert results(out) == whole
    assert not list(out.rglob(".*.tmp"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_kills(whole, tmp_path):
    for seed in range(2):
        check(tmp_path / f"s{seed}", whole, kills=5, seed=10 + seed)
