"""Every analysis as a person types it, at the smallest scale, and what they get when they type it wrong."""

import json
import os
import struct

import pytest
import torch

from rankwise.adapters import attach, save
from rankwise.analysis import ANALYSES, Request, analyze
from rankwise.analysis.finding import decide, decide_share
from rankwise.analysis.spectrum_saved import judge as judge_saved
from rankwise.cli.main import main
from rankwise.errors import UsageError
from rankwise.methods import build
from rankwise.models import load_base

ONE_TASK = ["--steps", "2"]
RUNS = {
    "scale": ["--ranks", "1,8", *ONE_TASK],
    "spectrum": [],
    "spectrum --train": ["--train", "--ranks", "2", *ONE_TASK],
    "subspace": ONE_TASK,
    "weights": ["--steps", "4"],
    "intrinsic-dim": ["--dimensions", "8,64", *ONE_TASK],
    "kernel": ["--samples", "100", "--outputs", "2", *ONE_TASK],
    "forgetting": ["--ranks", "2", *ONE_TASK],
    "asymmetry": ["--samples", "500", *ONE_TASK],
    "taxonomy": ONE_TASK,
    "cycles": ONE_TASK,
    "toys": [],
}


LONG = {"scale", "cycles"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in LONG else []) for n in RUNS])
def test_every_analysis_runs_from_the_command_line(name, tmp_path, capsys):
    assert main(["analyze", name.split()[0], "--scale", "smoke", *RUNS[name], "--out", str(tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "finding.json").read_text())
    assert printed["word"] in ("holds here", "does not hold here", "undecided")
    assert printed["claim"]
    assert printed["rule"]
    assert len(printed["interpretation"]) > 200
    assert printed["panels"]
    for panel in printed["panels"]:
        for axis in (panel["x"], panel["y"]):
            assert all(row[axis["field"]] is not None for row in panel["rows"]), panel["title"]
            if axis["log"]:
                assert all(row[axis["field"]] > 0 for row in panel["rows"]), panel["title"]
    for table in printed["tables"]:
        assert all(len(row) == len(table["columns"]) for row in table["rows"]), table["title"]
    png = (tmp_path / "figure.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">I", png[16:20])[0] > 1000, "two pixels per unit of the wide layout"
    page = (tmp_path / "finding.html").read_text()
    assert page.count("<svg") == 2
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_every_analysis_is_in_this_table_or_reads_a_study():
    assert {name.split()[0] for name in RUNS} | {"olora", "which-matrices"} == set(ANALYSES)


def test_the_same_command_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        assert main(["analyze", "taxonomy", "--scale", "smoke", *ONE_TASK, "--out", str(tmp_path / folder)]) == 0
    for file in ("finding.json", "figure.svg", "finding.html"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_without_a_name_it_lists_them(capsys):
    assert main(["analyze"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ANALYSES)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["spectrun"], "did you mean 'spectrum'"),
        (["--model", "tiny"], "needs a name"),
        (["toys", "--model", "tiny"], "does not take --model"),
        (["scale", "--train"], "does not take --train"),
        (["scale", "--ranks", "1,two"], "whole numbers"),
        (["scale", "--ranks", "0"], "at least 1"),
        (["scale", "--scale", "quik"], "did you mean 'quick'"),
        (["scale", "--scale", "smoke", "--data", "word-problems,code-book"], "one data set"),
        (["subspace", "--scale", "smoke", "--data", "code-book"], "2 data sets"),
        (["subspace", "--scale", "smoke", "--ranks", "2,4,8"], "two numbers"),
        (["subspace", "--scale", "smoke", "--ranks", "2,64"], "ranks up to 32"),
        (["weights", "--scale", "smoke", "--ranks", "2,4"], "one number"),
        (["cycles", "--scale", "smoke", "--ranks", "33"], "ranks up to 32"),
        *(
            ([name, "--scale", "smoke", "--ranks", ranks], "of every linear module of tiny; use ranks up to 64")
            for name, ranks in (
                ("weights", "100000"),
                ("cycles", "100000"),
                ("scale", "1,65"),
                ("kernel", "1,65"),
                ("forgetting", "65"),
            )
        ),
        (["spectrum", "--train", "--scale", "smoke", "--ranks", "65"], "ranks up to 64"),
        (["scale", "--ranks", ","], "--ranks is empty"),
        (["scale", "--data", " , "], "--data is empty"),
        (["intrinsic-dim", "--dimensions", ""], "--dimensions is empty"),
        (["kernel", "--scale", "smoke", "--ranks", "2"], "at least two"),
        (["spectrum", "--seed", "3"], "--seed needs --train or --adapter"),
        (["spectrum", "--adapter", "nowhere", "--train"], "give one of them"),
        (["spectrum", "--adapter", "nowhere", "--scale", "smoke"], "nowhere/adapter_config.json does not exist"),
        (["intrinsic-dim", "--scale", "smoke", "--dimensions", "99999999"], "needs dimensions"),
        (["forgetting", "--scale", "smoke", "--data", "code-book,code-book"], "two different"),
        (["toys", "--ranks", "99"], "at most 16"),
        (["olora"], "give --study"),
        (["which-matrices"], "give --study"),
        (["olora", "--study", "nowhere"], "no finished study"),
        (["olora", "--study", "nowhere.csv"], "cannot be read"),
    ],
)
def test_a_wrong_command_is_one_clear_sentence(typed, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rankwise.analysis.bench.train", _must_not_train)
    assert main(["analyze", *typed]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("rankwise: ")
    assert told in said
    assert list(tmp_path.iterdir()) == []


def _must_not_train(*_, **__):
    raise AssertionError("a wrong command trained")


@pytest.mark.parametrize("place", ["taken", "taken/below", "locked/below", "n" * 300, "/proc/findings"])
def test_a_place_that_cannot_hold_a_finding_is_refused_before_anything_is_loaded(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rankwise.analysis.bench.load_base", _must_not_train)
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "locked").mkdir(mode=0o555)
    if place.startswith("locked") and os.access("locked", os.W_OK):
        pytest.skip("this user may write everywhere")
    assert main(["analyze", "scale", "--scale", "smoke", "--out", place]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("rankwise: ")
    assert "give another --out" in said[0]
    assert (tmp_path / "taken").read_text() == "mine"
    assert {path.name for path in tmp_path.rglob("*")} == {"taken", "locked"}


def test_ranks_above_some_modules_sides_still_train(tmp_path):
    """Key and value of the tiny model are 32 wide, the others 64."""
    typed = ["analyze", "scale", "--scale", "smoke", *ONE_TASK, "--ranks", "1,64", "--out", str(tmp_path)]
    assert main(typed) == 0


def _saved(method, folder, **options):
    """Save an adapter of the tiny model whose trained tensors were all moved."""
    handle = attach(load_base("tiny", dtype=torch.float32).model, build(method, **options))
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in handle.trainable().values():
            tensor += 0.1 * torch.randn(tensor.shape, generator=stream)
    save(handle, folder)
    return analyze("spectrum", Request(scale="smoke", adapter=folder, given=frozenset({"scale", "adapter"})))


@pytest.mark.parametrize(
    ("method", "options", "rank"),
    [
        ("lora", {"rank": 4}, 4),
        ("lora", {"rank": 48}, 48),
        ("vera", {"rank": 4}, 4),
        ("loha", {"rank": 1}, 1),
        ("loha", {"rank": 8}, None),
        ("fourierft", {}, None),
        ("ia3", {}, None),
        ("dora", {"rank": 4}, None),
    ],
)
def test_only_an_update_that_its_rank_bounds_is_held_against_it(method, options, rank, tmp_path):
    found = _saved(method, tmp_path / "adapter", **options)
    assert found.numbers["rank"] == rank
    assert all(panel.rows for panel in found.panels), "the spectra are shown either way"
    if rank is None:
        assert found.word == "undecided"
        assert found.numbers["share"] is None
        assert "does not bound" in found.why
    else:
        assert 0 < found.numbers["share"] <= 1
        assert max(found.numbers["rank_90_squares"].values()) <= rank
        assert found.word == judge_saved(found.numbers["share"])


def test_an_adapter_without_a_matrix_has_no_spectrum(tmp_path):
    with pytest.raises(UsageError, match="no linear module"):
        _saved("ln_tuning", tmp_path / "adapter")


def test_the_words_of_a_saved_adapter():
    shares = (0.25, 0.5, 0.6, 0.8, 0.81, 1.0, None)
    holds, open_, fails = "holds here", "undecided", "does not hold here"
    assert [judge_saved(share) for share in shares] == [holds, holds, open_, open_, fails, fails, open_]


def test_a_saved_adapter_is_looked_at(tmp_path, capsys):
    small = ["--steps", "4", "--set", "sizes={train: 8, selection: 4, test: 4}", "--set", "eval_every=2"]
    run = tmp_path / "run"
    assert (
        main(["train", "--method", "olora", "--rank", "4", "--scale", "smoke", *small, "--out", str(run), "--json"])
        == 0
    )
    saved = json.loads(capsys.readouterr().out.strip().splitlines()[-1])["path"]
    typed = ["analyze", "spectrum", "--adapter", saved, "--scale", "smoke", "--out", str(tmp_path / "found"), "--json"]
    assert main(typed) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["numbers"]["rank"] == 8, "an init that edits the base is an update of twice the rank"
    assert all(1 <= rank <= 8 for rank in found["numbers"]["rank_90_squares"].values())


def test_the_words_of_a_rule():
    assert decide(True, False) == "holds here"
    assert decide(False, True) == "does not hold here"
    assert decide(False, False) == "undecided"
    with pytest.raises(ValueError, match="exclude"):
        decide(True, True)
    assert [decide_share(s) for s in (0.0, 1 / 3, 0.5, 2 / 3)] == [
        "does not hold here",
        "does not hold here",
        "undecided",
        "holds here",
    ]


def test_the_terminal_shows_set_up_and_tables(tmp_path, capsys):
    assert main(["analyze", "spectrum", "--scale", "smoke", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "Set-up: dimension 64; alpha 16" in shown
    assert "Relative errors, style / facts" in shown
    assert ".0128 / 0.7489" in " ".join(shown.split()), "the table of the closed form at rank 4"
