"""Fitting a study into a time: tables with an invented clock; nothing is trained."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from rankwise.errors import UsageError
from rankwise.ledger.folder import StudyFolder
from rankwise.studies.budget.budgeted import stored_plan
from rankwise.studies.budget.clock import Pace, ReplannedError
from rankwise.studies.budget.plan import (
    Timing,
    as_asked,
    budget_changes,
    changed,
    more_seeds,
    parse_budget,
    plan,
    replan,
    words,
)
from rankwise.studies.config import parse_config
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.running.runner import Trial


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20m", 1200), ("2h", 7200), ("90s", 90), ("1h30m", 5400), ("0.5h", 1800), (" 20M ", 1200), ("1h0m5s", 3605)],
)
def test_times(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "20 minutes", "-5m", "0m", "5m2h", "m", "1e3s", "nan"])
def test_what_is_no_time_is_one_sentence(text):
    with pytest.raises(UsageError, match="needs a time such as 20m") as caught:
        parse_budget(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("seconds", "text"), [(61.2, "62s"), (121, "3m"), (3600, "1h"), (3661, "1h2m"), (59.9, "60s")])
def test_times_read_back(seconds, text):
    assert words(seconds) == text
    assert parse_budget(text) >= seconds


TIMING = Timing(reference_step=3.0, adapter_step=2.0, selection=1.5, test=4.5, load=5.0)


def study(seconds=1e9, **changes):
    """One look at three seeds, unless ``changes`` say otherwise."""
    usual = {"fresh_seeds": [1, 2, 3], "until": "seeds", "budget": {"seconds": seconds}}
    return resolve_study("without-regret", "quick", {**usual, **changes})


def test_a_study_that_fits_is_left_alone():
    config = study()
    assert plan(config, 1e9, TIMING.study) == config
    assert budget_changes(config) == []


WHOLE = TIMING.study(study())


@pytest.mark.parametrize(
    ("share", "phrases"),
    [
        (1.1, []),
        (0.95, ["stopped early"]),
        (0.8, ["stopped early", "1 finalist instead of 2"]),
        (0.65, ["no rerun", "stopped early", "1 finalist", "2 fresh seeds instead of 3"]),
        (0.5, ["attention only, LoRA r=16, mlp only, OLoRA r=16", "no rerun", "stopped", "1 finalist", "2 fresh"]),
        (0.35, ["left out: LoRA r=1, L", "10 steps instead of 20", "no rerun", "stopped", "1 finalist", "2 fresh"]),
    ],
)
def test_what_is_left_out_and_in_which_order(share, phrases):
    asked = study()
    made = plan(asked, share * WHOLE, TIMING.study)
    assert TIMING.study(made) <= share * WHOLE
    said = budget_changes(made)
    assert len(said) == len(phrases), said
    for phrase, sentence in zip(phrases, said, strict=True):
        assert phrase in sentence
    assert as_asked(made) == asked.to_dict()
    assert made.reference_arm == asked.reference_arm
    assert made.learning_rates["full"] == asked.learning_rates["full"], "no verdict without a bracketed reference"
    assert parse_config(made.to_dict()) == made


def test_more_than_three_rates_of_an_adapter_go_from_the_ends():
    rates = {"lora-r16": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]}
    asked = study(methods=["lora-r16"], learning_rates=rates, finalists=1, halving={"arms": True})
    least = plan(asked, 0.85 * TIMING.study(asked), TIMING.study)
    assert least.learning_rates["lora-r16"] == (3e-4, 1e-3, 3e-3)


def test_what_a_verdict_needs_is_never_given_up():
    with pytest.raises(UsageError, match=r"smallest study with a verdict here .* takes about \d+") as caught:
        plan(study(), 30.0, TIMING.study)
    enough = parse_budget(str(caught.value).partition("takes about ")[2].partition(";")[0])
    least = plan(study(), enough, TIMING.study)
    assert [arm.method for arm in least.arms] == ["full", "lora"]
    assert (len(least.fresh_seeds), least.finalists, least.steps) == (2, 1, 5)
    assert all(len(grid) == 3 for grid in least.learning_rates.values())


def test_while_running_only_cuts_that_keep_every_run():
    asked = study(fresh_seeds=[1, 2, 3, 4, 5])
    made = replan(asked, 0.0, TIMING.study)
    assert (made.steps, made.arms, made.learning_rates) == (asked.steps, asked.arms, asked.learning_rates)
    assert (made.fresh_seeds, made.finalists, made.halving.arms) == ((1, 2), 1, True)
    assert as_asked(made) == asked.to_dict()


def test_time_left_becomes_fresh_seeds():
    config = study()
    assert more_seeds(config, 99.0, 100.0) is None
    wider = more_seeds(config, 250.0, 100.0)
    assert wider.fresh_seeds == (1, 2, 3, 4, 5)
    assert budget_changes(wider) == ["5 fresh seeds instead of 3"]
    assert len(more_seeds(config, 1e9, 100.0).fresh_seeds) == 12, "more seeds would say nothing new"
    assert more_seeds(study(finalists=0, fresh_seeds=[]), 1e9, 1.0) is None


def test_undone_changes_are_forgotten():
    config = study()
    assert changed(changed(config, finalists=1), finalists=2) == config


@dataclass
class Row:
    label: str
    seconds: float
    result: dict
    spec: dict = field(default_factory=lambda: {"test": False})


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def paced(config, rows=(), spent=0.0):
    clock, notes = Clock(), []
    runner = SimpleNamespace(
        config=config, ledger=SimpleNamespace(trained=lambda: list(rows)), progress=SimpleNamespace(note=notes.append)
    )
    return Pace(runner, TIMING, spent, clock), clock, notes


def search_wave(config):
    return [Trial(arm, config.learning_rates[arm.name][0], 0, fresh=False, until=5) for arm in config.arms]


def test_a_study_in_time_is_not_disturbed():
    config = study(WHOLE * 1.05)
    pace, _, notes = paced(config)
    pace.watch(search_wave(config))
    assert notes == []


def test_a_slower_machine_leaves_less_to_do():
    """The first runs took three times what was foreseen."""
    config = study(WHOLE * 1.05)
    full = config.arms[0]
    rows = [Row(f"full lr={lr} seed=0", 3 * TIMING.run(config, full, 0, 5), {"losses": [1.0] * 5}) for lr in (1, 2, 3)]
    pace, clock, _ = paced(config, rows)
    clock.now += sum(row.seconds for row in rows)
    with pytest.raises(ReplannedError) as caught:
        pace.watch(search_wave(config))
    assert caught.value.config.finalists == 1
    assert caught.value.config.fresh_seeds == (1, 2)


def test_when_nothing_more_can_be_left_out_it_is_said_once():
    config = study(WHOLE, fresh_seeds=[1, 2], finalists=1, halving={"arms": True})
    pace, clock, notes = paced(config)
    clock.now += 0.9 * WHOLE
    for _ in range(2):
        pace.watch(search_wave(config))
    assert len(notes) == 1
    assert "slower" in notes[0]


def test_earlier_sessions_count():
    config = study(WHOLE)
    pace, _, _ = paced(config, spent=0.8 * WHOLE)
    assert pace.left == pytest.approx(0.2 * WHOLE)
    with pytest.raises(ReplannedError):
        pace.watch(search_wave(config))


def test_what_is_left_goes_to_the_third_seed_then_finalists_then_seeds():
    asked = study(10 * WHOLE)
    two = changed(asked, fresh_seeds=(1, 2), finalists=1)
    pace, clock, _ = paced(two)
    third = pace.more()
    assert (third.fresh_seeds, third.finalists) == ((1, 2, 3), 1)
    pace.runner.config = third
    second = pace.more()
    assert (second.fresh_seeds, second.finalists) == ((1, 2, 3), 2)
    pace.runner.config = second
    assert len(pace.more().fresh_seeds) == 12
    clock.now += 9.9 * WHOLE
    assert pace.more() is None


def test_the_same_command_continues_with_the_stored_plan(tmp_path):
    asked = study(0.45 * WHOLE)
    folder = StudyFolder(tmp_path / "s")
    assert stored_plan(asked, folder) == asked
    made = plan(asked, 0.45 * WHOLE, TIMING.study)
    (tmp_path / "s").mkdir()
    folder.open_or_create(made.to_dict())
    assert stored_plan(study(1.0), folder).budget.seconds == 1.0, "nothing has run yet: it may still be asked for again"
    folder.runs.mkdir()
    assert stored_plan(asked, folder) == made
    for other, words_ in (
        (study(0.45 * WHOLE, steps=40), "planned for steps = 20, this one has 40"),
        (study(0.6 * WHOLE), "budget.seconds"),
        (asked.model_copy(update={"budget": None}), "repeat its --budget"),
    ):
        with pytest.raises(UsageError, match=words_):
            stored_plan(other, folder)


def test_a_budget_for_a_study_without_one_is_refused(tmp_path):
    plain = resolve_study("rank", "smoke")
    folder = StudyFolder(tmp_path / "s")
    (tmp_path / "s").mkdir()
    folder.open_or_create(plain.to_dict())
    wanted = resolve_study("rank", "smoke", {"budget": {"seconds": 60}})
    assert stored_plan(wanted, folder) == wanted
    with pytest.raises(UsageError, match="budget"):
        folder.open_or_create(wanted.to_dict())
