"""Looks after every fresh seed: when they stop, what holds, and what an earlier command changes."""

import numpy as np
import pytest

from rankwise.engine import RunResult, Score
from rankwise.errors import UsageError
from rankwise.stats.looks import nominal_level, spent_share
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.results.looks import looks
from rankwise.studies.running import deciding
from rankwise.studies.running.conduct import _decide
from rankwise.studies.running.deciding import Deciding
from rankwise.studies.running.outcome import ArmOutcome, Outcome, Search

from .tools import Book

ARMS = ("lora-r1", "lora-r4", "lora-r16")
N = 40
BASE = Score(tuple([30.0] * N), tuple([10] * N))  # 3 nats a token


class Made:
    """A study whose fresh runs end where ``means`` says, with noise of seeds and examples."""

    def __init__(self, means, limit=12, noise=0.004, book=None, allows=lambda trials: True, **changes):
        seeds = {"fresh_seeds": list(range(1, limit + 1)), "until": "decided"}
        self.config = resolve_study("without-regret", "smoke", {"methods": list(means)[1:], **seeds, **changes})
        self.means, self.noise, self.ran, self.allows = means, noise, [], allows
        arms = {arm.name: ArmOutcome(arm, {lr: self.run(arm.name, 0, lr) for lr in (1, 2, 3)}) for arm in self.arms}
        self.deciding = Deciding(self.config, arms, [n for n in means if n != "full"], BASE, book or Book())
        _decide(self.config, self, self.deciding, allows)
        self.found, self.outcomes = self.deciding.found, arms

    @property
    def arms(self):
        return [arm for arm in self.config.arms if arm.name in self.means]

    def run(self, name, seed, lr=2):
        rng = np.random.default_rng([seed, len(name)])
        mean = self.means[name] + (lr != 2) + self.noise * rng.standard_normal()
        own = Score(tuple((mean + 0.01 * rng.standard_normal(N)) * 10), BASE.targets)
        return RunResult(curve=[(4, own.mean)], selection=own, best_step=4, trainable=10, flops=10, test=own)

    def wave(self, trials):
        self.ran += [(trial.arm.name, trial.seed) for trial in trials]
        return [self.run(trial.arm.name, trial.seed) for trial in trials]

    def words(self):
        return {name: verdict.word for name, verdict in self.found.verdicts.items()}

    def seeds(self, name):
        return [seed for arm, seed in self.ran if arm == name]


def test_it_stops_as_soon_as_all_is_decided_and_spends_on_what_is_not():
    made = Made({"full": 0.30, "lora-r1": 0.60, "lora-r4": 0.318})
    assert made.words() == {"lora-r1": "falls short", "lora-r4": "matches"}
    assert made.found.ended == "decided"
    assert made.seeds("lora-r1") == [1, 2, 3], "a decided arm gets no more seeds"
    assert made.seeds("lora-r4") == made.seeds("full") == list(range(1, len(made.found.taken) + 3))
    assert 3 < len(made.seeds("full")) < 12
    last = made.found.taken[-1]
    assert last.level == nominal_level(0.025, last.seeds, 12)
    assert last.spent == 0.025 * spent_share(last.seeds, 12)
    assert made.found.verdicts["lora-r1"].look.seeds == 3, "its interval is that of the look that decided it"


def test_at_the_margin_it_is_futile_to_go_on():
    made = Made({"full": 0.30, "lora-r4": 0.34}, noise=0.02)
    assert made.words() == {"lora-r4": "undecided"}
    assert made.found.ended == "futile"
    assert len(made.seeds("full")) < 12
    assert "would decide it with a chance of" in made.found.verdicts["lora-r4"].reason
    assert made.found.verdicts["lora-r4"].chance == pytest.approx(0.5, abs=0.49)


def test_the_limit_ends_it_and_a_higher_one_goes_on_from_there(monkeypatch):
    monkeypatch.setattr(deciding, "HOPELESS", 0.0)
    means = {"full": 0.30, "lora-r4": 0.322}
    short = Made(means, limit=5, noise=0.005)
    assert (short.found.ended, short.words()) == ("limit", {"lora-r4": "undecided"})
    longer = Made(means, limit=12)
    assert longer.found.taken[:3] == short.found.taken, "a look means the same whatever the limit"
    assert longer.words() == {"lora-r4": "matches"}


def test_seeds_asked_for_by_hand_are_run_and_no_word_is_taken_back():
    made = Made({"full": 0.30, "lora-r4": 0.60}, at_least=6)
    assert len(made.seeds("lora-r4")) == 6
    assert [taken.seeds for taken in made.found.taken] == [3], "a claim stays as it was made"
    assert made.words() == {"lora-r4": "falls short"}


def test_time_ends_it_and_the_same_command_ends_there_again():
    means, book = {"full": 0.30, "lora-r4": 0.322}, Book()
    made = Made(means, noise=0.01, book=book, allows=lambda trials: trials[0].seed < 6, limit_seconds=60.0)
    assert (made.found.ended, len(made.seeds("full"))) == ("time", 5)
    again = Made(means, noise=0.01, book=book, limit_seconds=60.0)
    assert (again.found.ended, len(again.seeds("full"))) == ("time", 5)
    more = Made(means, noise=0.01, book=book, limit_seconds=120.0)
    assert more.found.ended == "decided"


def test_a_time_that_no_seed_fits_into_is_one_sentence():
    with pytest.raises(UsageError, match="--limit 60s is used up before the first look, at 3 fresh seeds; give more"):
        Made({"full": 0.30, "lora-r4": 0.322}, limit_seconds=60.0, allows=lambda trials: False)


def test_arms_added_later_are_a_family_of_their_own():
    made = Made({"full": 0.30, "lora-r1": 0.60, "lora-r4": 0.60}, book=Book(families=[("lora-r1",)]))
    assert made.found.families == [("lora-r1",), ("lora-r4",)]
    assert [(taken.family, taken.seeds) for taken in made.found.taken] == [(1, 3), (2, 3)]
    outcome = Outcome(BASE, BASE, made.outcomes, made.deciding.finalists, Search((), (), 0, 0), made.found)
    assert "judged apart, with as much again: 2 groups" in looks(made.config, outcome)["sentence"]


def test_a_word_of_an_earlier_command_holds(monkeypatch):
    """It may have gone on with other arms, and so had more of the error to spend on this one."""
    monkeypatch.setattr(deciding, "HOPELESS", 0.0)
    means = {"full": 0.30, "lora-r4": 0.322}
    plain, book = Made(means, limit=5, noise=0.005), Book(told={4: {"lora-r4": "matches"}})
    assert plain.words() == {"lora-r4": "undecided"}
    assert Made(means, limit=5, noise=0.005, book=book).words() == {"lora-r4": "matches"}


def test_no_seed_puts_a_learning_rate_inside_its_grid(monkeypatch):
    monkeypatch.setattr(ArmOutcome, "bracketed", property(lambda arm: arm.arm.name == "full"))
    made = Made({"full": 0.30, "lora-r4": 0.322})
    assert made.words() == {"lora-r4": "no verdict"}
    assert len(made.seeds("full")) == 3


def test_a_reference_that_does_not_improve_is_given_up():
    made = Made({"full": 3.1, "lora-r4": 3.0})
    assert made.words() == {"lora-r4": "no verdict"}
    assert len(made.seeds("full")) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fresh_seeds": [1, 2]}, "looks first after 3 fresh seeds"),
        ({"finalists": 0}, "needs finalists"),
        ({"at_least": 13}, "more than the 12 fresh seeds allowed"),
        ({"methods": "all"}, "a survey judges nothing"),
    ],
)
def test_looks_that_cannot_be_taken_are_refused(changes, said):
    preset = "methods" if "methods" in changes else "without-regret"
    with pytest.raises(UsageError, match=said):
        resolve_study(preset, "smoke", {"until": "decided", "fresh_seeds": list(range(1, 13)), **changes})


def test_runs_that_are_lost_decide_nothing_and_another_seed_is_tried(monkeypatch):
    """Fewer than three runs speak for their own seeds only: at a look that is the first of many, no claim."""
    wave = Made.wave

    def losing(made, trials):
        found = wave(made, trials)
        return [
            None if t.arm.name == "lora-r4" and t.seed in (2, 3) else run for t, run in zip(trials, found, strict=True)
        ]

    monkeypatch.setattr(Made, "wave", losing)
    made = Made({"full": 0.30, "lora-r4": 0.60})
    assert [taken.words["lora-r4"] for taken in made.found.taken[:2]] == ["undecided", "undecided"]
    assert made.words() == {"lora-r4": "falls short"}
    assert made.found.verdicts["lora-r4"].look.seeds > 4


def test_a_rung_that_is_left_undecided_keeps_no_other_rank_waiting():
    made = Made({"full": 0.30, "lora-r16": 0.34, "lora-r4": 0.30}, noise=0.01)
    assert made.words()["lora-r4"] == "matches"
    assert made.found.ended == "futile"
