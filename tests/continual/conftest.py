"""Tiny streams on a random model, learned once."""

import pytest

TASKS = [
    {"id": "en", "data": "word-problems:en"},
    {"id": "vi", "data": "word-problems:vi"},
    {"id": "code", "data": "code-book"},
]
SMALL = {"scale": "smoke", "steps": 3, "train": 12, "test": 4, "rank": 4}
ALL = [
    "sequential",
    "per_task",
    "replay",
    {"name": "ewc", "sample": 3},
    "olora_cl",
    {"name": "olora_cl", "norm": "l2sq"},
    "overlap",
    "project",
    "clora",
    "colora_note",
    {"name": "online_lora", "window": 2},
    "color",
]


def stream(**changes):
    from rankwise.continual.stream import resolve_stream

    return resolve_stream({**SMALL, "tasks": TASKS, "strategies": ["sequential"], **changes})


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Every strategy on three tasks, one order, one seed, with the joint reference: folder and document."""
    from rankwise.continual.conductor import run_chain

    folder = tmp_path_factory.mktemp("stream") / "out"
    return folder, run_chain(stream(strategies=ALL, references=["joint"]), folder)
