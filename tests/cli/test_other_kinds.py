"""Presets of another kind: ``rankwise study`` knows them from one table, and so does whoever adds one."""

import json
import re
from dataclasses import dataclass

import pytest

from rankwise.cli.main import main
from rankwise.studies.presets import other_kinds
from rankwise.studies.presets.other_kinds import OTHER_KINDS, OtherKind
from rankwise.studies.presets.resolve import PRESETS


@dataclass
class Counting:
    scale: str
    model: str = "tiny"
    data: str = "town-crier"
    steps: int = 3
    seeds: tuple = (0,)

    def to_dict(self):
        return dict(vars(self))


@pytest.fixture(params=[*OTHER_KINDS, "counting"])
def preset(request, monkeypatch):
    """Those there are, and one that someone adds."""
    kind = OtherKind(
        resolve=lambda scale, changes: Counting(scale, **changes),
        run=lambda *_, **__: None,
        runs=lambda config: ["one", "two"],
        arms=lambda config: ["One arm"],
    )
    monkeypatch.setitem(other_kinds.OTHER_KINDS, "counting", lambda: kind)
    return request.param


def test_a_dry_run_says_what_would_run(preset, capsys):
    assert main(["study", preset, "--scale", "smoke", "--seed", "4", "--seeds", "2", "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["config"]["seeds"] == [4, 5]
    assert plan["out"] == f"runs/{preset}-smoke"
    assert plan["runs"]
    assert main(["study", preset, "--scale", "smoke", "--dry-run"]) == 0
    assert re.match(r"\d+ runs of \d+ steps on tiny and .*, into runs/.*-smoke\. Arms: ", capsys.readouterr().out)


@pytest.mark.parametrize(
    "option",
    [
        ["--methods", "lora"],
        ["--reference", "auto"],
        ["--budget", "20m"],
        ["--cheapest-by", "time"],
        ["--report-to", "trackio"],
    ],
)
def test_what_is_about_a_reference_is_refused(preset, option, capsys):
    assert main(["study", preset, "--scale", "smoke", *option, "--dry-run"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{option[0]} is about arms beside a reference, which study {preset} has not; leave it out." in said


def test_a_file_that_names_it_is_told_where_it_is(preset, tmp_path, capsys):
    (tmp_path / "s.yaml").write_text(f"preset: {preset}\n")
    assert main(["study", str(tmp_path / "s.yaml"), "--dry-run"]) == 2
    assert f"unknown preset '{preset}'" in (said := " ".join(capsys.readouterr().err.split()))
    assert re.search(rf"Or [\w, -]*{preset}[\w, -]* \(by its name only\)", said)


def test_help_names_every_preset(capsys):
    assert main(["study", "--help"]) == 0
    said = re.sub(r"[\s│]+", "", capsys.readouterr().out)
    assert not [name for name in (*PRESETS, *OTHER_KINDS, "smoke") if name not in said]
