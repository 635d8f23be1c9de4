"""Every example runs as a person would run it, on the tiny model, in seconds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rankwise.cli.main import main

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def run(*command, cwd):
    return subprocess.run([sys.executable, *command], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True)


def test_every_example_has_a_test():
    streams = {"stream.yaml", "stream-o-lora.yaml"}  # tests/continual/test_chain.py
    assert {p.name for p in EXAMPLES.iterdir() if p.is_file()} == {
        "trl_sft.py",
        "plain_loop.py",
        "study.yaml",
        *streams,
    }


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("trl_sft.py", "every factor is bit for bit that of the undisturbed run"),
        ("plain_loop.py", "loaded: the same logits"),
    ],
)
def test_scripts(script, says, tmp_path):
    done = run(EXAMPLES / script, tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    assert (tmp_path / "out" / "adapter_config.json").exists()


def test_the_yaml_study(tmp_path):
    assert main(["study", str(EXAMPLES / "study.yaml"), "--out", str(tmp_path / "out")]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    assert results["study"]["preset"] == "rank"
    assert results["study"]["fresh_seeds"] == [1, 2]
    assert [arm["name"] for arm in results["arms"]] == ["full", "lora-r1", "lora-r4"]
    assert results["cell"]["data"].startswith("word-problems")
    assert results["training"]["steps"] == 8
    rates = next(arm for arm in results["arms"] if arm["name"] == "lora-r1")["learning_rates"]
    assert {3e-3, 1e-2} <= {run["lr"] for run in rates}, "YAML reads 3e-3 as text; the study must read a number"
