"""``--set method.events=...`` where no event of that kind can act: one sentence, which names what does act there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from rankwise import train
from rankwise.cli.main import main
from rankwise.errors import UsageError
from rankwise.methods import lora

STREAM = "chain examples/stream.yaml --scale smoke"
PLACES = {
    STREAM: "examples/stream.yaml: a stream has strategies and no method",
    "study orthogonalization --scale smoke": "the arms of study orthogonalization are events themselves",
    "doctor --model tiny": "unknown setting of doctor 'method'",
    "train --from runs/x": "--set method.NAME cannot be given with --from",
}


@pytest.mark.parametrize("value", ["method.events=hidden-key", "method={events: [hidden-key]}", "method.rank=4"])
@pytest.mark.parametrize("command", PLACES)
def test_it_is_told(command, value, capsys):
    assert main([*command.split(), "--set", value]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert PLACES[command] in said
    assert said.count("rankwise: ") == 1


def proposed(capsys):
    return re.search(r"such as (.*?)\.$", " ".join(capsys.readouterr().err.split())).group(1)


def test_what_is_proposed_for_a_study_of_events_acts(capsys):
    study = ["study", "orthogonalization", "--scale", "smoke", "--dry-run"]
    assert main([*study, "--set", "method.events=hidden-key"]) == 2
    assert main([*study, *shlex.split(proposed(capsys))]) == 0
    assert "QR on A and B" in capsys.readouterr().out


def test_what_is_proposed_for_a_stream_acts(tmp_path, capsys):
    assert main([*STREAM.split(), "--set", "method.events=hidden-key"]) == 2
    lines = Path("examples/stream.yaml").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("event:")]
    (tmp_path / "s.yaml").write_text("\n".join([*kept, proposed(capsys)]), encoding="utf-8")
    assert main(["chain", str(tmp_path / "s.yaml"), "--scale", "smoke", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["event"] == {"name": "hidden-key"}


def test_python_is_told_too(tmp_path):
    with pytest.raises(UsageError, match="options and events are given to its method itself"):
        train("tiny", lora(rank=2), "word-problems", lr=1e-3, out=tmp_path / "x", method={"events": "hidden-key"})
    assert not (tmp_path / "x").exists()
