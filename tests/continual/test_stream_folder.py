"""What a folder with a stream takes and refuses; no run is needed to tell."""

import pytest

from rankwise.continual.folder import open_stream
from rankwise.continual.tasks import Loaded
from rankwise.errors import UsageError
from rankwise.ledger.folder import StudyFolder
from rankwise.studies.orthogonalization.config import resolve_events

from .conftest import TASKS, stream


def loaded(config):
    """Tasks as far as a folder looks at them."""
    return {task.id: Loaded(task, (), (), (), task.data, ()) for task in config.tasks}


def opened(path, **changes):
    config = stream(**changes)
    return open_stream(StudyFolder(path), config.to_dict(), loaded(config))


def test_an_order_that_was_not_written_down_counts(tmp_path):
    """Without orders the tasks' own is run, so another first order would take its chains away."""
    two = {"tasks": TASKS[:2]}
    assert opened(tmp_path, **two) == "created"
    kept = (tmp_path / "study.yaml").read_bytes()
    with pytest.raises(UsageError, match=r"task 'en' was number 1 in order 1 of .* and is number 2 now"):
        opened(tmp_path, **two, orders=[["vi", "en"]])
    assert (tmp_path / "study.yaml").read_bytes() == kept
    assert opened(tmp_path, **two, orders=[["en", "vi"], ["vi", "en"]]) == "extended"
    with pytest.raises(UsageError, match="has 2 orders, this one has fewer"):
        opened(tmp_path, **two)


def test_a_written_order_is_not_taken_back(tmp_path):
    two = {"tasks": TASKS[:2]}
    opened(tmp_path, **two, orders=[["vi", "en"]])
    with pytest.raises(UsageError, match="task 'vi' was number 1 in order 1"):
        opened(tmp_path, **two)
    assert opened(tmp_path, orders=[["vi", "en", "code"]]) == "extended"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 5}, "task 'vi' of the stream in .* had steps not set, now 5; repeat the old setting"),
        ({"prompt": "Trả lời."}, 'had prompt not set, now "Trả lời."'),
    ],
)
def test_a_changed_setting_of_a_task_is_named(change, words, tmp_path):
    opened(tmp_path)
    with pytest.raises(UsageError, match=words):
        opened(tmp_path, tasks=[TASKS[0], {**TASKS[1], **change}, TASKS[2]])


def test_data_that_changed_under_a_name_are_refused(tmp_path):
    opened(tmp_path)
    config = stream()
    other = loaded(config) | {"vi": Loaded(config.tasks[1], (), (), (), "another print", ())}
    with pytest.raises(UsageError, match="data of task 'vi' changed under the stream"):
        open_stream(StudyFolder(tmp_path), config.to_dict(), other)


def test_columns_belong_to_a_task_and_are_written_only_where_they_are(tmp_path):
    columns = {"prompt": "a", "completion": "b"}
    told = [{**TASKS[0], "columns": "prompt=a,completion=b"}, *TASKS[1:]]
    assert stream(tasks=told).to_dict()["tasks"][0]["columns"] == columns
    opened(tmp_path / "without")
    assert "columns" not in (tmp_path / "without" / "study.yaml").read_text(), "as every stream before wrote it"
    with pytest.raises(UsageError, match=r"task 'en' .* had columns not set, now \{\"prompt\": \"a\""):
        opened(tmp_path / "without", tasks=told)
    assert opened(tmp_path / "with", tasks=told) == "created"
    assert opened(tmp_path / "with", tasks=told) == "resumed"
    with pytest.raises(UsageError, match=r"had columns \{.*\}, now not set"):
        opened(tmp_path / "with")


def test_an_events_folder_of_before_the_columns_goes_on(tmp_path):
    old = {name: value for name, value in resolve_events("smoke", {}).to_dict().items() if name != "columns"}
    folder = StudyFolder(tmp_path)
    folder.open_or_create(old)
    unset = resolve_events("smoke", {}).to_dict()
    assert folder.open_or_create(unset, defaults={"columns": None}) == "resumed"
    chosen = resolve_events("smoke", {"columns": "prompt=a,completion=b"}).to_dict()
    with pytest.raises(UsageError, match="has columns = null"):
        folder.open_or_create(chosen, defaults={"columns": None})


def test_another_studys_folder_is_refused(tmp_path):
    folder = StudyFolder(tmp_path / "events")
    folder.open_or_create(resolve_events("smoke", {}).to_dict())
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(UsageError, match="holds the study 'orthogonalization'; choose another --out for this stream"):
        opened(folder.path, tasks=TASKS[:2])
    assert {p: p.read_bytes() for p in before} == before
