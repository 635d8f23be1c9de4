"""Whatever a study found, the command it suggests exists, is another one, and changes the situation."""

from __future__ import annotations

import functools
import json
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from rankwise.adapters import Adapter
from rankwise.cli.main import app, main
from rankwise.errors import UsageError
from rankwise.ledger.differences import first_difference
from rankwise.report.next_step import next_step
from rankwise.studies.config import GROWABLE, parse_config
from rankwise.studies.presets.resolve import PRESETS
from rankwise.studies.study import _asked
from tests.report.fixtures.documents import quick

GROUP = typer.main.get_command(app)
FILE = "preset: rank\nmodel: tiny\ndata: code-book\nsteps: 9\nfresh_seeds: [5, 6, 7]\n"
OWN = "rank --steps 9 --seed 4 --set sizes.test=40 --set 'learning_rates.full=[1e-5, 1e-4]' --out runs/o"
COMMANDS = [
    "",
    "rank --scale tutorial --model tiny",
    "methods --scale tutorial",
    "smoke --methods lora-r4",
    "rank --scale smoke --model ./model --data code-book --steps 4",
    "methods --scale smoke --methods dynamics",
    "methods --methods dynamics --model tiny",
    "own.yaml",
    "own.yaml --scale smoke --steps 4",
    "rank --budget 1h --model tiny",
    "methods --model tiny --data rows.csv --columns 'prompt=text,completion={category}!' --max-length 99",
    "rank --model tiny --data word-problems:en,code-book",
    "rank --model tiny --methods lora-r1,lora-r16 --seeds 2",
    "rank --reference best-rank --cheapest-by params --report-to tensorboard",
    OWN,
    "runs/p/study.yaml --out runs/p",
]


@pytest.fixture
def planned(capsys):
    """What the real command line makes of a command: configuration and folder."""

    @functools.cache
    def plan(command):
        assert main([*shlex.split(command)[1:], "--dry-run", "--json"]) == 0, (command, capsys.readouterr().err)
        found = json.loads(capsys.readouterr().out)
        return found["config"], found["out"]

    return plan


def ended(command, config, folder):
    """The document of a finished study, as far as it matters here: every arm judged, none of them at an edge."""
    arms, other = [], quick()  # another study's, for what does not matter here
    run = {"seed": 0, "status": "done", "reason": None, "selection_nll": 1.0, "best_step": 1, "curve": []}
    for number, arm in enumerate(config["arms"]):
        grid = config["learning_rates"][arm["name"]]
        target = parse_config(config).arm(arm["name"]).target()
        own = isinstance(target, Adapter)
        placed = {"placement": target.placement.name, "rank": target.rank, "alpha": target.alpha} if own else {}
        arms.append(
            {
                **other["results"]["arms"][0],
                **{"rank": None, "alpha": None, "placement": None, **placed},
                **{"name": arm["name"], "method": arm["method"], "options": arm["options"], "batch": config["batch"]},
                **{"reference": number == 0, "best_lr": grid[len(grid) // 2], "bracketed": True, "test_nll": 1.0},
                "learning_rates": [{**run, "lr": lr} for lr in grid],
                "verdict": {
                    **{"word": "no verdict" if number else "reference", "sentence": arm["name"]},
                    **{"contrast": None, "needs": None},
                },
            }
        )
    budget = config["budget"] and {"seconds": config["budget"]["seconds"], "changes": []}
    rows = [{"name": arm["name"], "lr": arm["best_lr"], "nll": 1.0, "below": True} for arm in arms]
    survey = {"arms": rows, "methods": config["survey"], "base_nll": 2.0, "left_out": {}}
    asked = {name: config[name] for name in ("preset", "scale", "seed", "fresh_seeds", "margin", "until")}
    return {
        "results": {
            **other["results"],
            "study": {**asked, "budget": budget, "question": ""},
            "cell": {**other["results"]["cell"], "test": config["sizes"]["test"]},
            "training": {**other["results"]["training"], "steps": config["steps"], "batch": config["batch"]},
            "arms": arms,
            "verdict": {"headline": "", "recommended": None, "reason": ""},
            **({"survey": survey} if config["survey"] else {}),
        },
        "cost": other["cost"],
        "provenance": {
            **other["provenance"],
            "command": command,
            "asked": _asked(parse_config(config), Path(folder)),
        },
    }


def read(config):
    """Which model, which data, and how they are read."""
    return [config[name] for name in ("model", "data", "columns", "max_length")]


def judged(word, needs=None):
    def change(results):
        for arm in results["arms"][1:]:
            arm["verdict"] |= {"word": word, "needs": needs}

    return change


def recommended(results):
    results["arms"][-1]["verdict"]["word"] = "matches or beats"
    results["verdict"]["recommended"] = results["arms"][-1]["name"]


def at_edge(place):
    def change(results):
        reference = results["arms"][0]
        rates = [run["lr"] for run in reference["learning_rates"]]
        reference |= {"best_lr": rates[place], "bracketed": False}

    return change


def diverged(results):
    for arm in results["arms"]:
        arm |= {"best_lr": None, "bracketed": False, "test_nll": None}
        for run in arm["learning_rates"]:
            run |= {"status": "diverged", "selection_nll": None}


def failed(results):
    for arm in results["arms"]:
        arm["test_nll"] = None


OUTCOMES = {
    "recommended": recommended,
    "falls short": judged("falls short"),
    "seeds decide": judged("undecided", "about 23 more seeds or 210 more test examples"),
    "examples decide": judged("undecided", "about 210 more test examples"),
    "both decide": judged("undecided", "more seeds and more test examples together, since neither alone would decide"),
    "a ladder above is undecided": judged("undecided"),
    "screened": judged("screened"),
    "low edge": at_edge(0),
    "high edge": at_edge(-1),
    "no gain": lambda results: None,
    "diverged": diverged,
    "failed": failed,
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the files that commands name; nothing is timed for a dry run's estimate."""

    def not_now(*args):
        raise UsageError("no estimate in this test")

    monkeypatch.setattr("rankwise.cli.plan.forecast", not_now)
    monkeypatch.setattr("typer.main.get_command", lambda app: GROUP)  # made once, not for every command
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(FILE, encoding="utf-8")
    Path("runs/p").mkdir(parents=True)
    Path("runs/p/study.yaml").write_text(FILE, encoding="utf-8")
    return tmp_path


def parses(words):
    name, command, rest = GROUP.resolve_command(GROUP.make_context("rankwise", words, resilient_parsing=True), words)
    return command.make_context(name, list(rest)).params


def leads_somewhere(typed, outcomes, planned):
    command = f"rankwise study {typed}".strip()
    config, folder = planned(command)
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / "study.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    for outcome in outcomes:
        document = ended(command, config, folder)
        OUTCOMES[outcome](document["results"])
        (Path(folder) / "results.json").write_text(json.dumps(document), encoding="utf-8")
        step = next_step(document)
        words = shlex.split(step.command)
        where = f"{outcome}: {step.command}"
        assert words[0] == "rankwise", where
        assert words[1:] != shlex.split(command)[1:], where
        params = parses(words[1:])
        if words[1] == "study":
            new, there = planned(step.command)
            assert (new, there) != (config, folder), where
            if there == folder:
                difference = first_difference(config, new, GROWABLE)
                assert difference.grown, f"{where} is refused for {difference.name}"
                assert not config["budget"], f"{where} is refused for its budget"
            if "smoke" not in step.why and "," not in (params["data"] or ""):
                assert read(new) == read(config), where
        elif words[1] == "train":
            new, there = planned(step.command)
            assert there != folder
            assert (new["model"], new["data"], new["steps"]) == (config["model"], config["data"], config["steps"]), (
                where
            )
            assert new["arms"][-1]["options"] or new["arms"][-1]["adapter"], where
        else:
            assert words[1] in ("doctor", "analyze"), where
            if words[1] == "doctor":
                given = (params["model"] or "default", params["data"] or "word-problems")
                assert given == (config["model"], config["data"]), where


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_leads_somewhere(preset, place, planned):
    leads_somewhere(f"{preset} --model tiny", ("recommended", "falls short", "screened", "high edge"), planned)


@pytest.mark.parametrize("typed", COMMANDS)
def test_every_outcome_leads_somewhere(typed, place, planned):
    leads_somewhere(typed, OUTCOMES, planned)


@pytest.mark.parametrize(
    ("typed", "verb"),
    [
        (["doctor", "--model", "tiny", "--data", "my data.jsonl"], "study"),
        (["eval", "--model", "tiny", "--data", "my data.jsonl", "--examples", "2", "--answers", "0"], "train"),
    ],
)
def test_a_next_line_repeats_the_options_that_say_what_it_is_about(typed, verb, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [json.dumps({"prompt": f"{n} + 1 = ", "completion": str(n + 1)}) for n in range(40)]
    Path("my data.jsonl").write_text("\n".join(rows), encoding="utf-8")
    assert main(typed) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("Next: "))
    words = shlex.split(line.removeprefix("Next: "))
    assert words[:2] == ["rankwise", verb]
    params = parses(words[1:])
    assert (params["model"], params["data"]) == ("tiny", "my data.jsonl")
