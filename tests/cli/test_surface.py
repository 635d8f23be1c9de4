"""The commands and their flags are a promise: a change here is a change for every user."""

import os
import subprocess
import sys
import time

import pytest
import typer

from rankwise.cli.main import app, main

SURFACE = {
    "study": "preset model data columns max-length scale methods steps batch until limit seeds seed reference budget "
    "cheapest-by out report-to set json dry-run",
    "train": "method from arm rank alpha placement lr model data columns max-length scale steps batch seed out "
    "report-to set json dry-run",
    "chain": "stream model scale references seeds out set json dry-run",
    "merge": "base adapter out dtype verify json",
    "export": "adapter for max-rank dtype base out json",
    "compress": "adapter rank energy data columns examples base out json",
    "generate": "prompt file adapter model system raw keep-control-tokens max-new-tokens batch json",
    "eval": "adapter model data columns examples answers max-length seed json",
    "methods": "name model composes json",
    "cost": "model method rank alpha placement batch length targets steps dtype calibrate json",
    "analyze": "name model data columns scale ranks lr steps seed adapter train study dimensions samples outputs "
    "out json",
    "report": "folders json out",
    "ledger export": "folder to out json",
    "doctor": "model data columns max-length set json",
}


def test_commands_and_flags():
    command = typer.main.get_command(app)
    found = {}
    verbs = dict(command.commands)
    verbs |= {f"ledger {name}": sub for name, sub in verbs.pop("ledger").commands.items()}
    for name, sub in verbs.items():
        found[name] = [
            p.name if p.param_type_name == "argument" else p.opts[0].removeprefix("--") for p in sub.params if p.name
        ]
    assert {name: " ".join(flags) for name, flags in found.items()} == SURFACE


@pytest.mark.parametrize("command", SURFACE)
def test_every_help_teaches(command, capsys):
    assert main([*command.split(), "--help"]) == 0
    assert len(capsys.readouterr().out) > 200


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys; from rankwise.cli.main import main; main(['--help']); "
        "print([m for m in ('torch', 'transformers', 'altair', 'pydantic', 'yaml') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    times = []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
        times.append(time.perf_counter() - started)
    assert done.stdout.strip().endswith("[]"), done.stdout
    assert min(times) < 0.5


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rankwise 0.")
