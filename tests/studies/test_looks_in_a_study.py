"""A small study that looks after every fresh seed: repeated, killed between looks, and continued by hand."""

import json

import pytest

from rankwise.errors import UsageError
from rankwise.ledger.store import Ledger
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.study import run_study

from .tools import Recorder

SMALL = {
    "search": "grid",
    "refine": None,
    "widen": 0,
    "methods": ["lora-r1"],
    "steps": 4,
    "eval_every": 2,
    "sizes": {"train": 16, "selection": 4, "test": 6},
    "learning_rates": {"full": [1e-4, 1e-3, 0.1], "lora-r1": [1e-3, 1e-2, 10.0]},
    "until": "decided",
    "fresh_seeds": [1, 2, 3, 4, 5],
    "at_least": 5,
}


def config(**changes):
    return resolve_study("without-regret", "smoke", {**SMALL, **changes})


def dump(document):
    return json.dumps(document["results"], sort_keys=True)


class Killed(Recorder):
    """Ends the process after so many runs."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def done(self, label, status, nll, seconds):
        super().done(label, status, nll, seconds)
        if len(self.runs) == self.after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("looks") / "s"
    return out, run_study(config(), out)


def test_the_looks_are_written_down(whole):
    out, document = whole
    looks = document["results"]["looks"]
    seeds = [taken["seeds"] for taken in looks["taken"]]
    assert seeds == list(range(3, seeds[-1] + 1))
    spent = [taken["spent"] for taken in looks["taken"]]
    assert spent == sorted(spent)
    assert spent[-1] < looks["error"] == 0.025
    arm = document["results"]["arms"][1]
    assert arm["verdict"]["seeds"] == len(arm["fresh"])
    assert arm["verdict"]["word"] == looks["taken"][-1]["words"]["lora-r1"]
    with Ledger(out, read_only=True) as ledger:
        noted = [run for run in ledger.runs() if run.label == "look"]
        assert [len(run.spec["look"]["seeds"]) for run in noted] == seeds
        assert all(run.label != "look" for run in ledger.trained())


def test_the_same_command_looks_at_nothing_new(whole):
    out, document = whole
    before = (out / "ledger.sqlite").read_bytes()
    assert dump(run_study(config(), out)) == dump(document)
    assert (out / "ledger.sqlite").read_bytes() == before


@pytest.mark.parametrize("after", [pytest.param(12, marks=pytest.mark.slow), 14])
def test_killed_between_looks_it_takes_the_same_ones(whole, after, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_study(config(), tmp_path / "s", progress=Killed(after))
    assert dump(run_study(config(), tmp_path / "s")) == dump(whole[1])


def test_seeds_by_hand_go_on_from_what_is_spent_and_a_limit_below_what_was_done_is_refused(whole):
    out, document = whole
    progress = Recorder()
    by_hand = config(until="seeds", fresh_seeds=[1, 2, 3, 4, 5, 6])
    more = run_study(by_hand, out, progress=progress)
    assert [taken["seeds"] for taken in more["results"]["looks"]["taken"]] == [3, 4, 5, 6]
    assert (
        more["results"]["looks"]["taken"][: len(document["results"]["looks"]["taken"])]
        == (document["results"]["looks"]["taken"])
    )
    assert any(note.startswith("--seeds 6: this study looks after every seed; ") for note in progress.notes)
    with pytest.raises(UsageError, match="looked at with 6 fresh seeds already; a limit of 5 is below that"):
        run_study(config(), out)
    with pytest.raises(UsageError, match="further ones come after them"):
        run_study(config(fresh_seeds=[7, 8, 9, 10, 11, 12]), out)
