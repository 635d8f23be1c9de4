"""The wheel, in an environment of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, **options).stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_wheel_installs_and_runs_alone(tmp_path):
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("rankwise-*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    rankwise = tmp_path / "venv" / "bin" / "rankwise"
    assert len(json.loads(run(rankwise, "methods", "--json", cwd=tmp_path))) >= 5
    run(rankwise, "study", "smoke", "--methods", "lora-r4", cwd=tmp_path)
    out = tmp_path / "runs" / "without-regret-smoke"
    assert (out / "report.html").stat().st_size > 20_000
    assert (out / "best" / "adapter_model.safetensors").exists()
