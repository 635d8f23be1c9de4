"""The study of events: one data order for all arms, its claims true of its own numbers, resume, bad input."""

import io
import json
from string import Formatter

import pytest
from rich.console import Console

from rankwise.cli.main import main
from rankwise.errors import UsageError
from rankwise.studies.orthogonalization.config import ARMS, resolve_events
from rankwise.studies.orthogonalization.study import design, run_events
from rankwise.studies.orthogonalization.summary import jumps
from rankwise.studies.orthogonalization.words import WORDS

SMALL = {"arms": ["none", "qr", "row-norm", "qr-fold", "polar-fold"], "steps": 4, "every": [2], "held_out": 4}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events") / "out"
    return folder, run_events(resolve_events("smoke", SMALL), folder)


def test_the_claims_hold_in_the_numbers(study):
    _, document = study
    arms = {entry["arm"]: entry for entry in document["results"]["arms"] if entry["duplication"] is None}
    for name in ("qr-fold", "polar-fold"):
        assert arms[name]["largest_jump"] < 1e-4
        assert arms[name]["coherence_after"] < 1e-6
    assert arms["qr"]["largest_jump"] > 0.05
    assert arms["row-norm"]["cosines_moved"] < 1e-6
    assert arms["row-norm"]["coherence_after"] > 0.1
    english = " ".join(document["results"]["answers"]["en"])
    assert "holds no QR event" in english
    assert "QR + fold" in english
    assert len(document["results"]["answers"]["vi"]) == len(document["results"]["answers"]["en"])


def test_arms_see_the_same_data_until_the_first_event(study):
    _, document = study
    for times in (1, 20):
        runs = [run for run in document["results"]["runs"] if run["duplication"] == times]
        assert len({tuple(run["losses"][:2]) for run in runs}) == 1
        assert len({run["losses"][2] for run in runs}) > 1
    assert [len(jumps(run)) for run in document["results"]["runs"]] == [2] * 10


def test_the_page_and_a_second_call(study, capsys):
    folder, document = study
    assert main(["report", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "Why it jumps" in shown
    assert "Polar + fold" in shown
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "Vì sao loss nhảy vọt" in html
    assert "<script" not in html
    assert {path.stem for path in (folder / "figures").glob("*.png")} == {"around", "jumps", "coherence", "final"}
    assert main(["report", str(folder), str(folder)]) == 2
    assert "has no arms beside a reference" in capsys.readouterr().err
    again = run_events(resolve_events("smoke", SMALL), folder)
    assert json.dumps(again["results"], sort_keys=True) == json.dumps(document["results"], sort_keys=True)


def test_both_languages_say_the_same_things_of_the_same_numbers():
    fields = {
        language: {
            key: sorted(field for _, field, _, _ in Formatter().parse(text) if field) for key, text in words.items()
        }
        for language, words in WORDS.items()
    }
    assert fields["en"] == fields["vi"]


def test_designs():
    assert len(design(resolve_events("quick", {}))) == 3 * len(ARMS)
    assert len(design(resolve_events("quick", {"ranks": [4, 8], "seeds": [0, 1]}))) == 12 * len(ARMS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arms": ["qr-flod"]}, "unknown arm 'qr-flod'; did you mean 'qr-fold'"),
        ({"every": [100]}, "every must be from 1 to the"),
        ({"duplications": [1000]}, "duplications must be from 1 to the"),
        ({"lr": 1}, "has no setting 'lr'"),
        ({"seeds": []}, "seeds must name at least one value"),
    ],
)
def test_bad_settings(changes, words):
    with pytest.raises(UsageError, match=words):
        resolve_events("quick", changes)


def test_an_unknown_scale_is_told(capsys):
    assert main(["study", "orthogonalization", "--scale", "huge"]) == 2
    assert "unknown scale 'huge'" in capsys.readouterr().err


def test_the_plan_is_shown_without_running(capsys):
    assert main(["study", "orthogonalization", "--dry-run"]) == 0
    assert "33 runs of 12 steps" in capsys.readouterr().out


def test_any_entry_of_another_kind_is_told_or_does_not_matter(study):
    from rankwise.report.kinds import OTHER
    from tests.studies.test_result_shape import told_or_shown

    found = json.loads((study[0] / "results.json").read_text())
    found["results"]["runs"] = found["results"]["runs"][:1]
    console = Console(file=io.StringIO(), width=100)
    told, shown = told_or_shown(found, lambda other: OTHER["events"].render(other, console), ("x", [None]))
    assert told > 100
    assert shown > 100
