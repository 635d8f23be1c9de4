"""A whole study with halving: killed anywhere it ends with the same results; extended, it trains nothing twice."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest

from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.ledger.store import Ledger
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.running.conduct import _Plan
from rankwise.studies.study import run_study

from .tools import Recorder as Told

SMALL = {
    "methods": ["lora-r4", "lora-r1"],
    "steps": 6,
    "eval_every": 2,
    "sizes": {"train": 24, "selection": 6, "test": 10},
    "fresh_seeds": [1, 2],
    "checkpoint_seconds": 0.0,
    "learning_rates": {"full": [1e-3, 3e-3, 0.1], "lora-r1": [1e-3, 3e-3, 1e-2], "lora-r4": [1e-3, 3e-3, 1e-2]},
}


class KilledError(BaseException):
    """Not an Exception: nothing between the loop and us may handle it, as with SIGKILL."""


class Recorder(Progress):
    """Remembers runs, and kills the process, as it were, at the n-th training step."""

    def __init__(self, kill_at=None):
        self.steps, self.runs, self.notes, self.kill_at = 0, [], [], kill_at

    def note(self, text):
        self.notes.append(text)

    def step(self, step, loss):
        self.steps += 1
        if self.steps == self.kill_at:
            raise KilledError

    def done(self, label, status, nll, seconds):
        self.runs.append((label, status))


def dump(document):
    return json.dumps(document["results"], sort_keys=True)


def config(**changes):
    return resolve_study("without-regret", "smoke", {**SMALL, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("halving") / "s"
    progress = Recorder()
    return out, run_study(config(), out, progress=progress), progress


def test_what_was_stopped_is_written_down_with_its_price(finished):
    out, document, progress = finished
    search = document["results"]["search"]
    assert search["kind"] == "halving"
    assert [rung["step"] for rung in search["rungs"]] == [2, 4]
    assert search["examples_spent"] < search["examples_full_grid"]
    shown = {(a["name"], r["lr"]): r for a in document["results"]["arms"] for r in a["learning_rates"]}
    assert search["stopped"]
    for stop in search["stopped"]:
        run = shown[stop["arm"], stop["lr"]]
        assert (run["status"], run["selection_nll"]) == ("stopped", None)
        assert run["curve"][-1][0] == stop["step"]
        assert stop["reason"].endswith(f"at step {stop['step']}")
    screened = [label for label, _ in progress.runs if "seed=0" in label]
    steps = 6 * sum(run["status"] == "done" for run in shown.values()) + sum(s["step"] for s in search["stopped"])
    assert search["examples_spent"] == 8 * steps
    assert len(screened) > len(shown), "those that went on were called again"
    with Ledger(out, read_only=True) as ledger:
        paused = [run.label for run in ledger.runs() if run.status == "paused"]
    assert len(paused) == len(search["stopped"])
    for arm in document["results"]["arms"]:
        if arm["fit"]:
            assert set(arm["fit"]) == {"lr", "nll", "coefficients", "step"}
    json.dumps(document, allow_nan=False)


@pytest.mark.parametrize(
    "kill_at", [pytest.param(3, marks=pytest.mark.slow), 29, pytest.param(60, marks=pytest.mark.slow)]
)
def test_killed_anywhere_the_results_are_the_same_bytes(finished, kill_at, tmp_path):
    progress = Recorder(kill_at)
    with pytest.raises(KilledError):
        run_study(config(), tmp_path / "s", progress=progress)
    again = Recorder()
    assert dump(run_study(config(), tmp_path / "s", progress=again)) == dump(finished[1])
    (note,) = (note for note in again.notes if note.startswith("resumed: "))
    assert re.search(r"about \d+ to go( \(restarted: \d+ at step \d+(, \d+ at step \d+)*\))?$", note)
    whole = finished[2].steps
    assert progress.steps - 1 + again.steps <= whole + 2, "only what followed the last evaluation is trained again"


def test_repeating_trains_nothing(finished):
    out, document, _ = finished
    progress = Recorder()
    assert dump(run_study(config(), out, progress=progress)) == dump(document)
    assert progress.notes[-1].endswith("stopped early or paused, none to go")
    assert progress.runs == []


def steps_in(folder):
    """Training steps each run has made, by key."""
    with Ledger(folder, read_only=True) as ledger:
        return {run.key: len(run.result["losses"]) for run in ledger.trained() if run.result}


MORE_RATES = {**SMALL["learning_rates"], "lora-r4": [1e-3, 2e-3, 3e-3, 1e-2]}


@pytest.mark.parametrize(
    "more",
    [
        {"learning_rates": MORE_RATES},
        pytest.param(
            {"learning_rates": MORE_RATES, "methods": ["lora-r4", "lora-r1", "olora"]}, marks=pytest.mark.slow
        ),
    ],
    ids=["rates", "all"],
)
def test_extending_trains_only_what_is_new_and_ends_as_if_asked_for_at_once(finished, more, tmp_path):
    out = tmp_path / "s"
    shutil.copytree(finished[0], out)
    before = steps_in(out)
    progress = Recorder()
    document = run_study(config(**more), out, progress=progress)
    after = steps_in(out)
    assert before.keys() <= after.keys()
    assert progress.steps == sum(after.values()) - sum(before.values()), "no step was made twice"
    assert progress.steps > 0
    if len(more) == 1:
        return
    at_once = run_study(config(**more), tmp_path / "at-once", progress=Recorder())
    assert searched(document) == searched(at_once), "but for finalists: an arm that was judged stays judged"


def searched(document):
    arms = document["results"]["arms"]
    return document["results"]["search"], [(arm["name"], arm["learning_rates"], arm["best_lr"]) for arm in arms]


def test_another_search_is_another_study(finished):
    with pytest.raises(UsageError, match='search = "halving", this one has "grid"'):
        run_study(config(search="grid"), finished[0])


def test_options_of_halving_need_halving():
    with pytest.raises(UsageError, match="search is 'grid'"):
        config(search="grid", halving={"eta": 2})
    assert config(halving={"eta": 2, "first": 0.5}).halving.first == 0.5


def test_arms_that_were_stopped_say_so(tmp_path):
    changes = {"halving": {"arms": True}, "finalists": 1, "learning_rates": SMALL["learning_rates"]}
    document = run_study(config(**changes), tmp_path / "s")
    arms = {arm["name"]: arm for arm in document["results"]["arms"]}
    stopped = [arm for arm in arms.values() if all(r["status"] == "stopped" for r in arm["learning_rates"])]
    assert len(stopped) == 1
    assert "was stopped at step 4 of 6" in stopped[0]["verdict"]["sentence"]
    assert stopped[0]["best_lr"] is not None
    assert stopped[0]["flops"] is None
    assert document["cost"]["arms"][stopped[0]["name"]]["flops_ratio"] > 0


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([], ""),
        ([4], " (restarted: 1 at step 4)"),
        (
            [0] * 9 + [4] * 3,
            " (restarted: 3 at step 4, 9 at step 0)",
        ),
    ],
)
def test_runs_cut_short_together_are_told_together(steps, said):
    progress = Told()
    cut = [SimpleNamespace(label="run", key=step) for step in steps]
    paused = SimpleNamespace(label="run", result={}, status="paused")
    ledger = SimpleNamespace(trained=lambda: [paused], interrupted=lambda: cut)
    plan = _Plan(
        config(),
        SimpleNamespace(ledger=ledger, progress=progress, executor=SimpleNamespace(restart_step=int)),
        None,
        told=False,
    )
    plan.announce(9)
    plan.announce(0)
    assert progress.notes == [f"resumed: 0 done, 1 stopped early or paused, about 9 to go{said}"], "once"
