"""A study whose passes are short trains its runs together, and ends with the results it has run by run."""

import json
import re
import signal

import pytest

import rankwise.execution.executor as executor
from rankwise.cli.signals import as_interrupts
from rankwise.execution.progress import Progress
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.study import run_study


class Seen(Progress):
    def __init__(self, end_at=None):
        self.packs, self.done_runs, self.notes, self.steps, self.end_at = [], [], [], 0, end_at

    def note(self, text):
        self.notes.append(text)

    def together(self, runs, steps):
        self.packs.append((runs, steps))

    def advance(self):
        self.steps += 1
        if self.steps == self.end_at:
            signal.raise_signal(signal.SIGTERM)

    def done(self, label, status, nll, seconds):
        self.done_runs.append((label, status, nll))
        assert seconds > 0


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "short.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{n}+1=", "completion": str(n + 1)}) + "\n" for n in range(40)))
    return path


def study(data, out, seen=None):
    config = resolve_study(
        "rank",
        "smoke",
        {
            "data": str(data),
            "steps": 6,
            "eval_every": 2,
            "methods": ["lora-r1", "lora-r4"],
            "fresh_seeds": [1, 2],
            "sizes": {"train": 24, "selection": 6, "test": 6},
        },
    )
    seen = seen or Seen()
    return json.dumps(run_study(config, out, progress=seen)["results"], sort_keys=True), seen


@pytest.fixture(scope="module")
def together(data, tmp_path_factory):
    return study(data, tmp_path_factory.mktemp("together") / "s")


def test_short_passes_share(together):
    _, seen = together
    assert seen.packs
    assert all(runs > 1 for runs, _ in seen.packs)
    assert 0 < seen.steps <= sum(steps for _, steps in seen.packs)


def test_results_are_those_of_runs_one_by_one(together, data, tmp_path, monkeypatch):
    monkeypatch.setitem(executor.FULL_RATE, "cpu", 1)
    alone, seen = study(data, tmp_path / "s")
    assert not seen.packs
    assert alone == together[0]
    assert sorted(seen.done_runs) == sorted(together[1].done_runs)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_told_to_end_it_loses_no_step_and_keeps_what_is_done(share, together, data, tmp_path):
    """In the middle of packs: nothing is trained twice, and the results are the same bytes."""
    whole = together[1].steps
    told = Seen(end_at=max(2, round(share * whole)))
    with as_interrupts() as received, pytest.raises(KeyboardInterrupt):
        study(data, tmp_path / "s", told)
    assert received.exit_code == 143
    found, again = study(data, tmp_path / "s")
    assert found == together[0]
    # Runs that went alone are not counted by `advance`; of those in packs no step was taken twice.
    assert told.steps + again.steps == whole
    continued = [int(n) for note in again.notes for n in re.findall(r"continues at step (\d+)", note)]
    assert 0 not in continued
