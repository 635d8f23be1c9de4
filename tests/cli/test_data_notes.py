"""Every command that reads data says what became of the rows, and takes the option that says what they mean."""

import json

import pytest

from rankwise.cli.main import main

SHORT = ["--set", "steps=2", "--set", "eval_every=1", "--set", "sizes={train: 16, selection: 4, test: 6}"]
COLUMNS = ["--columns", "question={ask}?,answer=reply"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Rows under names of their own; in every split one is longer than 256 tokens of the tiny model, its reply too."""
    folder = tmp_path_factory.mktemp("data")
    for split, first, count in (("train", 0, 16), ("dev", 100, 4), ("test", 200, 6)):
        rows = [{"ask": f"q{n}", "reply": f"a{n}"} for n in range(first, first + count)]
        rows[0]["ask"] *= 200
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("notes") / "run"
    assert main(["train", "--scale", "smoke", "--data", str(data), *COLUMNS, *SHORT, "--out", str(out)]) == 0
    return out


def dropped(split: str) -> str:
    return f"1 {split} examples dropped: no token to learn within 256 tokens"


def test_train_tells_it_and_keeps_it_in_the_runs_folder(trained, data, capsys):
    again = ["train", "--scale", "smoke", "--data", str(data), *COLUMNS, *SHORT, "--out", str(trained)]
    assert main(again) == 0
    told = capsys.readouterr()
    assert "resumed: this run is already done" in told.err
    kept = json.loads((trained / "data.json").read_text())
    assert kept["columns"] == {"question": "{ask}?", "answer": "reply"}
    (card,) = trained.rglob("adapter/README.md")
    for split in ("train", "selection", "test"):
        assert dropped(split) in told.err
        assert dropped(split) in kept["notes"]
        assert dropped(split) in card.read_text()
    assert main([*again, "--json"]) == 0
    assert dropped("train") in json.loads(capsys.readouterr().out)["notes"]
    without = [word for word in again if word not in COLUMNS]
    assert main(without) == 2  # a choice of columns is part of the run
    assert main([*without, "--columns", "question=ask,answer=reply"]) == 2
    assert "has columns.question = " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["eval", "compress", "doctor", "analyze"])
def test_the_others_tell_it_too(command, trained, data, tmp_path, capsys):
    (adapter,) = (path.parent for path in trained.rglob("adapter_config.json"))
    typed = {
        "eval": ["eval", str(adapter), "--answers", "0"],
        "compress": ["compress", str(adapter), "--rank", "2", "--out", str(tmp_path / "c")],
        "doctor": ["doctor", "--model", "tiny", "--max-length", "200"],
        "analyze": ["analyze", "scale", "--scale", "smoke", "--ranks", "1,2", "--out", str(tmp_path / "a")],
    }[command]
    assert main([*typed, "--data", str(data), *COLUMNS, "--json"]) == 0
    told = capsys.readouterr().out
    assert "columns are read as question={ask}?,answer=reply" in told
    if command == "doctor":
        assert [split["dropped"] for split in json.loads(told)["data"]["splits"].values()] == [1, 1, 1]
    elif command == "analyze":  # it takes fewer examples of each split
        assert " examples dropped: no token to learn within 256 tokens" in told
    else:
        assert dropped("test") in told
        assert dropped("train") not in told, "the test split is all that is read"


def test_eval_says_it_to_a_person_and_repeats_the_columns(data, capsys):
    assert main(["eval", "--model", "tiny", "--answers", "0", "--data", str(data), *COLUMNS]) == 0
    told = capsys.readouterr().out
    assert f"note: {dropped('test')}\n" in told
    assert f"Next: rankwise train --data {data} --columns 'question={{ask}}?,answer=reply'" in told


@pytest.mark.parametrize(("typed", "said"), [
    (["study", "--dry-run", *COLUMNS], "--columns is about the rows"),
    (["study", "--dry-run", "--data", "code-book,word-problems", *COLUMNS], "--columns is about the rows"),
    (["train", "--scale", "smoke", *COLUMNS], "word-problems is made here"),
    (["eval", "--model", "tiny", *COLUMNS], "word-problems is made here"),
    (["doctor", "--model", "tiny", *COLUMNS], "word-problems is made here"),
    (["analyze", "weights", *COLUMNS], "--columns is about the rows"),
    (["doctor", "--set", "steps=3"], "unknown setting of doctor 'steps'"),
    (["study", "--dry-run", "--data", "x.csv", "--columns", "promt=a,completion=b"], "did you mean 'prompt'"),
    (["study", "orthogonalization", "--dry-run", "--columns", "promt=a"], "did you mean 'prompt'"),
])  # fmt: skip
def test_an_option_that_cannot_act_is_refused(typed, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(typed) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.*"))


def test_doctors_settings_act_and_are_repeated(data, capsys):
    changed = ["--max-length", "128", "--set", "completion_style=think"]
    assert main(["doctor", "--model", "tiny", "--data", str(data), *COLUMNS, *changed]) == 0
    told = capsys.readouterr().out
    assert "completion style think leaves" in told
    assert f"--data {data} --columns 'question={{ask}}?,answer=reply' --max-length 128 --set completion" in told
