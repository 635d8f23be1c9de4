"""Trackers with their real local back ends; each skips, saying so, where its package is not installed."""

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.integrations import trackers
from rankwise.integrations.trackers import TRACKERS, Tracked, Tracker, flat, make_trackers, track

ROOT = Path(__file__).parents[2]
CONFIG = {"model": "tiny", "sizes": {"train": 8}, "fresh_seeds": [1, 2], "system": None}


class Recorder(Progress):
    def __init__(self):
        self.calls = []

    def note(self, text):
        self.calls.append(("note", text))

    def plan(self, total, done):
        self.calls.append(("plan", total, done))

    def start(self, label, steps):
        self.calls.append(("start", label, steps))

    def step(self, step, loss):
        self.calls.append(("step", step, loss))

    def score(self, step, nll):
        self.calls.append(("score", step, nll))

    def done(self, label, status, nll, seconds):
        self.calls.append(("done", label, status, nll, seconds))

    def close(self):
        self.calls.append(("close",))


class Fake(Tracker):
    package = "fake"

    def __init__(self, fails=False):
        self.calls, self.fails = [], fails

    def start(self, run_name, config):
        self.calls.append((run_name, dict(config)))

    def log(self, record):
        if self.fails:
            raise OSError("no space\nleft")
        self.calls.append(record)

    def finish(self):
        self.calls.append("finish")


def two_runs(progress):
    progress.note("hello")
    progress.plan(2, 0)
    progress.start("lora-r4 lr=0.003 seed=1", 2)
    progress.step(1, 2.5)
    progress.step(2, 2.25)
    progress.score(2, 2.0)
    progress.done("lora-r4 lr=0.003 seed=1", "done", 2.0, 0.1)
    progress.start("full lr=0.001 seed=1", 2)
    progress.step(1, 3.0)
    progress.close()  # interrupted


def test_progress_hears_what_it_heard_without_trackers():
    alone, inner = Recorder(), Recorder()
    two_runs(alone)
    two_runs(Tracked(inner, [Fake()], CONFIG))
    assert inner.calls == alone.calls


def test_a_tracker_hears_the_engines_records_run_by_run():
    fake = Fake()
    two_runs(Tracked(Progress(), [fake], CONFIG))
    settings = {"model": "tiny", "sizes.train": 8, "fresh_seeds": "[1, 2]", "system": "None", "steps": 2}
    assert fake.calls == [
        ("lora-r4 lr=0.003 seed=1", {**settings, "arm": "lora-r4", "lr": "0.003", "seed": "1"}),
        {"step": 1, "loss": 2.5},
        {"step": 2, "loss": 2.25},
        {"step": 2, "selection_nll": 2.0},
        "finish",
        ("full lr=0.001 seed=1", {**settings, "arm": "full", "lr": "0.001", "seed": "1"}),
        {"step": 1, "loss": 3.0},
        "finish",
    ]


def test_a_failing_tracker_is_dropped_with_a_note_and_costs_nothing_else():
    inner, good, bad = Recorder(), Fake(), Fake(fails=True)
    two_runs(Tracked(inner, [bad, good], CONFIG))
    notes = [call[1] for call in inner.calls if call[0] == "note"]
    assert notes == ["hello", "fake stopped (no space left); the runs go on without it"]
    assert len(bad.calls) == 1
    assert good.calls.count("finish") == 2


def test_names(tmp_path, monkeypatch):
    progress = Progress()
    assert track(progress, [], project="p", folder=tmp_path, config={}) is progress
    with pytest.raises(UsageError, match="unknown tracker 'wandd'; did you mean 'wandb'"):
        make_trackers(["wandd"], "p", tmp_path)
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    for name in TRACKERS:
        with pytest.raises(UsageError, match=f"pip install {name}"):
            make_trackers([name], "p", tmp_path)


def test_naming_trackers_imports_none_of_them(tmp_path):
    code = "import sys, rankwise.integrations.trackers as t; print([n for n in t.TRACKERS if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_flat():
    assert flat({"a": {"b": {"c": 1}, "d": True}, "e": (1, 2)}) == {"a.b.c": 1, "a.d": True, "e": "(1, 2)"}


READ = {
    "tensorboard": """
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        for run in sorted((folder / "tensorboard").iterdir()):
            events = EventAccumulator(str(run)).Reload()
            for name in events.Tags()["scalars"]:
                for event in events.Scalars(name):
                    seen.add((run.name.replace("_", " "), name, event.step, event.value))
            assert "config/text_summary" in events.Tags()["tensors"]
    """,
    "trackio": """
        import trackio
        from trackio.sqlite_storage import SQLiteStorage
        for run in trackio.Api().runs("rankwise-test"):
            assert run.config["sizes.train"] == 8
            for entry in SQLiteStorage.get_logs("rankwise-test", run.name, run_id=run.id):
                for name in {"loss", "selection_nll"} & set(entry):
                    seen.add((run.name, name, entry["step"], entry[name]))
    """,
    "mlflow": """
        import mlflow
        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name("rankwise-test")
        for run in client.search_runs([experiment.experiment_id]):
            assert run.data.params["sizes.train"] == "8"
            assert run.info.status == "FINISHED"
            for name in run.data.metrics:
                for entry in client.get_metric_history(run.info.run_id, name):
                    seen.add((run.info.run_name, name, entry.step, entry.value))
    """,
    # An offline run is a log of protobuf records in blocks of 32 KiB, each part after a header: checksum, size, kind.
    "wandb": """
        import json
        from wandb.proto.wandb_internal_pb2 import Record
        for file in folder.glob("wandb/offline-run-*/*.wandb"):
            data, position, record, name = file.read_bytes(), 7, b"", None
            while position + 7 <= len(data):
                left = 32768 - position % 32768
                if left < 7:
                    position += left
                    continue
                size, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
                record += data[position + 7 : position + 7 + size]
                position += 7 + size
                if kind in (1, 4):  # a whole record, or the last part of one
                    found, record = Record.FromString(record), b""
                    if found.WhichOneof("record_type") == "run":
                        name = found.run.display_name
                        assert {c.key: c.value_json for c in found.run.config.update}["sizes.train"] == "8"
                    if found.WhichOneof("record_type") == "history":
                        items = found.history.item
                        row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in items}
                        for key in {"loss", "selection_nll"} & set(row):
                            seen.add((name, key, row["_step"], row[key]))
    """,
}


@pytest.mark.parametrize("name", TRACKERS)
def test_the_real_back_end_holds_every_value(name, tmp_path):
    """In a process of its own: trackers start threads and servers, and set global state."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    code = f"""
from pathlib import Path
from rankwise.integrations.trackers import track
from rankwise.execution.progress import Progress
from tests.integrations.test_trackers import CONFIG, two_runs
folder = Path({str(tmp_path)!r}) / "study"
two_runs(track(Progress(), [{name!r}], project="rankwise-test", folder=folder, config=CONFIG))
seen = set()
{textwrap.dedent(READ[name])}
first, second = "lora-r4 lr=0.003 seed=1", "full lr=0.001 seed=1"
losses = {{(first, "loss", 1, 2.5), (first, "loss", 2, 2.25), (second, "loss", 1, 3.0)}}
assert seen == losses | {{(first, "selection_nll", 2, 2.0)}}, seen
print("every value is there")
"""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "HOME": str(tmp_path),
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout == "every value is there\n", done.stdout + done.stderr  # standard output is for results
