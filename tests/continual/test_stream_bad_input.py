"""What can be wrong in a stream file: one clear sentence each, exit code 2, nothing written."""

import json

import pytest
import yaml

from rankwise.cli.main import main

from .conftest import SMALL, TASKS

GOOD = {**SMALL, "tasks": TASKS, "strategies": ["sequential"]}

CASES = {
    "duplicate ids": ({"tasks": [TASKS[0], {**TASKS[1], "id": "en"}]}, "tasks 1 and 2 have the same id 'en'"),
    "no tasks": ({"tasks": []}, "tasks"),
    "unknown strategy": (
        {"strategies": ["olora"]},
        "unknown strategy 'olora'; did you mean 'color' or 'clora' or 'olora_cl'",
    ),
    "unknown option": ({"strategies": [{"name": "replay", "part": 1}]}, "strategy 'replay' has no option 'part'"),
    "illegal option": ({"strategies": [{"name": "replay", "share": 2}]}, "replay's share must be above 0"),
    "no strategy": ({"strategies": []}, "at least one strategy or reference"),
    "joint alone": ({"strategies": [], "references": ["joint"]}, "joint alone is no stream"),
    "an event that writes the base": ({"event": {"name": "delta-update"}}, "event 'delta-update' writes the base"),
    "an option of another event": (
        {"event": {"name": "merge-and-restart", "every": 2, "at_the_end": True}},
        "event 'merge-and-restart' has no option 'at_the_end'",
    ),
    "strategies as text": ({"strategies": "sequential"}, "strategies must be a list"),
    "twice the same": ({"strategies": ["color", "color"]}, "strategies must differ"),
    "unknown reference": ({"references": ["both"]}, "unknown reference 'both'"),
    "long warm-up": (
        {"warmup": 5, "schedule": "constant_with_warmup"},
        "a warm-up of 5 steps is longer than task 'en' with 3",
    ),
    "warm-up without a schedule": ({"warmup": 2}, "schedule 'constant' has no warm-up"),
    "event inside a window": (
        {"batch": 4, "micro_batch": 2, "event": {"kind": "row_norm", "every": 3, "micro_batches": True}},
        "after every 3 micro-batches falls inside an accumulation window of 2; use a multiple of 2",
    ),
    "unknown event": ({"event": {"kind": "qr_fould", "every": 2}}, "unknown kind of orthogonalization 'qr_fould'"),
    "order leaves one out": ({"orders": [["en", "vi"]]}, "order 1 leaves out code"),
    "order with a stranger": (
        {"orders": [["en", "vi", "kode"]]},
        "unknown task in order 1 'kode'; did you mean 'code'",
    ),
    "order names one twice": ({"orders": [["en", "vi", "code", "en"]]}, "order 1 names a task twice"),
    "steps and epochs": ({"tasks": [{**TASKS[0], "steps": 2, "epochs": 1}]}, "task 'en' has both steps and epochs"),
    "bad id": ({"tasks": [{"id": "a b", "data": "code-book"}]}, "tasks.0.id"),
    "unknown setting": ({"learning_rate": 1}, "unknown setting 'learning_rate'; it takes"),
    "unknown task setting": ({"tasks": [{**TASKS[0], "path": "x"}]}, "unknown setting 'tasks.0.path'"),
    "one test example": ({"test": 1}, "test"),
    "over the rank budget": ({"strategies": ["per_task"], "rank_budget": 8}, "strategy 'per_task' needs a rank of 12"),
    "no seeds": ({"seeds": []}, "seeds must be distinct and at least one"),
    "no such data": ({"tasks": [{"id": "x", "data": "no-such-data"}]}, "task 'x': unknown data 'no-such-data'"),
    "scale": ({"scale": "huge"}, "unknown scale 'huge'"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence(case, tmp_path, capsys):
    changes, words = CASES[case]
    file = tmp_path / "stream.yaml"
    file.write_text(yaml.safe_dump({**GOOD, **changes}))
    out = tmp_path / "out"
    assert main(["chain", str(file), "--out", str(out)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    sentence = said.err.splitlines()[-1]
    assert sentence.startswith("rankwise: ")
    assert words in sentence
    assert "Traceback" not in said.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "task 'mine': "),
        ([{"sentence": "a", "label": "yes"}] * 3, "task 'mine': "),
        ([{"sentence": f"s{i}", "label": "yes" if i % 2 else "maybe"} for i in range(9)], "task 'mine': "),
    ],
    ids=["empty task", "all alike", "unseen label"],
)
def test_data_of_a_task(rows, words, tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.json").write_text(json.dumps(rows))
    (folder / "labels.json").write_text('["yes", "no"]')
    file = tmp_path / "stream.yaml"
    file.write_text(yaml.safe_dump({**GOOD, "tasks": [TASKS[0], {"id": "mine", "data": str(folder)}]}))
    assert main(["chain", str(file), "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (None, "task 'mine': {data} tests on labels that none of its training rows has: maybe; correct them, or list"),
        (
            ["yes", "no"],
            "task 'mine': unknown label 'maybe'. Known: no, yes. It is in {data}/test.json row 1; correct it there",
        ),
    ],
    ids=["without a list", "with a list"],
)
def test_labels_that_only_the_test_has(labels, words, tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    rows = [{"sentence": f"s{i}", "label": "yes" if i % 2 else "no"} for i in range(12)]
    (folder / "train.json").write_text(json.dumps(rows))
    (folder / "test.json").write_text(json.dumps([{"sentence": f"t{i}", "label": "maybe"} for i in range(4)]))
    if labels:
        (folder / "labels.json").write_text(json.dumps(labels))
    file = tmp_path / "stream.yaml"
    file.write_text(yaml.safe_dump({**GOOD, "tasks": [{"id": "mine", "data": str(folder)}]}))
    assert main(["chain", str(file), "--out", str(tmp_path / "out")]) == 2
    assert words.format(data=folder) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("text", "words"), [("[1, 2]", "must hold a list of tasks"), ("a: [", "is not readable YAML")])
def test_files(text, words, tmp_path, capsys):
    (tmp_path / "stream.yaml").write_text(text)
    assert main(["chain", str(tmp_path / "stream.yaml")]) == 2
    assert words in capsys.readouterr().err
    assert main(["chain", str(tmp_path / "none.yaml")]) == 2
    assert "no such stream file" in capsys.readouterr().err


def test_a_plan_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stream.yaml").write_text(yaml.safe_dump(GOOD))
    assert main(["chain", "stream.yaml", "--dry-run", "--references", "sequential,joint", "--seeds", "2"]) == 0
    assert "at most 6 runs" in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir()] == ["stream.yaml"]


def test_strategies_are_in_the_catalogue(capsys):
    assert main(["methods"]) == 0
    assert "olora_cl" in capsys.readouterr().out
    assert main(["methods", "online_lora"]) == 0
    assert "2411.05663" in capsys.readouterr().out
    assert main(["methods", "color", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["options"] == {"k": 5, "abstain": 1.5}
