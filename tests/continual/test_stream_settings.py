"""Settings that only the loaded data decide: epochs, warm-up, events that a task is too short for; other events."""

import json

import pytest

from rankwise.continual.conductor import run_chain
from rankwise.continual.tasks import load_tasks
from rankwise.errors import UsageError
from rankwise.report.stream_page import log

from .conftest import SMALL, TASKS, stream

ROWS = 36


@pytest.fixture
def small(tmp_path):
    """A task with fewer examples than are asked for."""
    folder = tmp_path / "small"
    folder.mkdir()
    for name, first, count in (("train", 0, ROWS), ("dev", 100, 4), ("test", 200, 4)):
        rows = [{"prompt": f"Which number is {n}?", "completion": f"It is {n}."} for n in range(first, first + count)]
        (folder / f"{name}.json").write_text(json.dumps(rows))
    return {"id": "small", "data": str(folder), "train": 400, "epochs": 1}


def test_another_event_and_epochs_of_the_examples_there_are(small, tmp_path):
    event = {"name": "merge-and-restart", "every": 4}
    document = run_chain(stream(tasks=[small, TASKS[0]], references=["joint"], event=event), tmp_path / "out")
    chain = document["results"]["strategies"][0]["chains"][0]
    assert [len(losses) for losses in chain["losses"]] == [ROWS // SMALL.get("batch", 4), 3]
    assert [event["step"] for event in chain["events"][0]] == [4, 8]
    assert chain["events"][1] == []
    assert [g["rank"] for g in document["results"]["strategies"][0]["growth"]] == [12, 12]
    assert (
        "en: an event every 4 steps does not fall inside this task of 3: it never comes"
        in (document["results"]["cell"]["notes"])
    )
    assert any("small 4: merge-and-restart: merged 14; optimizer reset" in line for line in log(document))
    assert document["results"]["joint"]["examples"] == 4 * (9 + 3)


def test_a_warm_up_longer_than_the_examples_make_a_task(small, tiny_base):
    config = stream(tasks=[small], warmup=20, schedule="constant_with_warmup")
    with pytest.raises(
        UsageError, match="'small': a warm-up of 20 steps is longer than the 9 steps that its 36 training"
    ):
        load_tasks(config, tiny_base)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            {"kind": "polar_fold"},
            "an event every 20 steps does not fall inside this task of 3: it comes at its end only",
        ),
        ({"kind": "polar_fold", "every": 3}, "an event every 3 steps does not fall inside"),
        ({"kind": "polar_fold", "every": 3, "at_the_end": False}, None),
        ({"kind": "polar_fold", "every": 2}, None),
        ({"name": "input-pruning", "every": 3}, None),
        (
            {"name": "input-pruning", "every": 4},
            "an event every 4 steps does not fall inside this task of 3: it never comes",
        ),
        (
            {"name": "boosting", "every": 3},
            "an event every 3 steps does not fall inside this task of 3: it never comes",
        ),
        (
            {"kind": "polar_fold", "every": 8, "micro_batches": True},
            "an event every 8 micro-batches does not fall inside",
        ),
    ],
)
def test_an_event_that_a_task_is_too_short_for_is_told(event, words, tiny_base):
    (loaded,) = load_tasks(stream(tasks=TASKS[:1], event=event), tiny_base).values()
    told = [note for note in loaded.notes if "does not fall inside" in note]
    assert len(told) == (words is not None)
    assert all(f"en: {words}" in note for note in told)
