import os
import shutil
import subprocess
import sys
import tempfile

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rankwise.errors import UsageError
from rankwise.ledger import StudyFolder

CONFIG = {"preset": "rank", "steps": 24, "seeds": {"fresh": [1, 2, 3]}, "arms": [{"name": "full", "lr": 1e-5}]}
GROWABLE = {"seeds.fresh", "arms"}


def content(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def changed(**settings):
    return {**CONFIG, **settings}


def test_created_then_resumed(tmp_path):
    folder = StudyFolder(tmp_path / "a" / "study")
    assert folder.open_or_create(CONFIG, GROWABLE) == "created"
    before = content(folder.path)
    assert list(before) == ["study.yaml"]
    assert yaml.safe_load(before["study.yaml"]) == CONFIG
    assert folder.open_or_create(dict(reversed(CONFIG.items())), GROWABLE) == "resumed"
    assert content(folder.path) == before


@pytest.mark.parametrize(
    "grown",
    [
        {"seeds": {"fresh": [1, 2, 3, 4]}},
        {"seeds": {"fresh": [0, 1, 2, 2, 3]}},
        {"arms": [{"name": "olora", "lr": 1e-3}, *CONFIG["arms"]], "seeds": {"fresh": [1, 2, 3, 5]}},
    ],
)
def test_growable_lists_extend(tmp_path, grown):
    folder = StudyFolder(tmp_path)
    folder.open_or_create(CONFIG, GROWABLE)
    assert folder.open_or_create(changed(**grown), GROWABLE) == "extended"
    assert folder.read_config() == changed(**grown)
    assert folder.open_or_create(changed(**grown), GROWABLE) == "resumed"


@pytest.mark.parametrize("before", [{}, {"from": "lora"}, {"from": {"method": "lora"}}])
@pytest.mark.parametrize("after", [{}, {"from": "dora"}])
def test_a_key_set_aside_is_no_difference_at_any_depth(tmp_path, before, after):
    def config(more, lr=1e-5):
        return changed(arms=[{"name": "full", "lr": lr, **more}], seeds={"fresh": [1, 2], **more}, **more)

    folder = StudyFolder(tmp_path)
    folder.open_or_create(config(before), GROWABLE, aside={"from"})
    content_before = content(tmp_path)
    assert folder.open_or_create(config(after), GROWABLE, aside={"from"}) == "resumed"
    assert content(tmp_path) == content_before
    with pytest.raises(UsageError, match="has arms = "):
        folder.open_or_create(config(after, lr=1e-4), GROWABLE, aside={"from"})


@pytest.mark.parametrize(
    ("settings", "name", "old", "new"),
    [
        ({"steps": 48}, "steps", "24", "48"),
        ({"steps": 24.0}, "steps", "24", "24.0"),
        ({"seeds": {"fresh": [1, 2]}}, "seeds.fresh", "[1,2,3]", "[1,2]"),
        ({"seeds": {"fresh": [3, 2, 1]}}, "seeds.fresh", "[1,2,3]", "[3,2,1]"),
        ({"seeds": {"fresh": [1, 2, 4, 5]}}, "seeds.fresh", "[1,2,3]", "[1,2,4,5]"),
        ({"seeds": {"fresh": 3}}, "seeds.fresh", "[1,2,3]", "3"),
        ({"seeds": {}}, "seeds.fresh", "[1,2,3]", "nothing"),
        ({"batch": 8}, "batch", "nothing", "8"),
        ({"arms": [{"name": "full", "lr": 1e-4}]}, "arms", '[{"lr":1e-05,"name":"full"}]', None),
        ({"seeds": {"fresh": [1, 2, 3, 4]}, "preset": "placement"}, "preset", '"rank"', '"placement"'),
    ],
)
def test_any_other_change_is_refused_by_name_and_changes_nothing(tmp_path, settings, name, old, new):
    folder = StudyFolder(tmp_path)
    folder.open_or_create(CONFIG, GROWABLE)
    before = content(tmp_path)
    with pytest.raises(UsageError) as caught:
        folder.open_or_create(changed(**settings), GROWABLE)
    message = str(caught.value)
    assert f" has {name} = {old}, this one has {new or ''}" in message
    assert str(tmp_path) in message
    assert "--out" in message
    assert content(tmp_path) == before


def test_a_list_that_may_not_grow_is_refused(tmp_path):
    folder = StudyFolder(tmp_path)
    folder.open_or_create(CONFIG)
    with pytest.raises(UsageError, match=r"seeds\.fresh"):
        folder.open_or_create(changed(seeds={"fresh": [1, 2, 3, 4]}), {"arms"})


SETTINGS = st.dictionaries(
    st.text(min_size=1),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
)


@given(SETTINGS)
def test_any_configuration_survives_yaml(settings):
    with tempfile.TemporaryDirectory() as path:
        folder = StudyFolder(path)
        assert folder.open_or_create(settings) == "created"
        assert folder.read_config() == settings
        assert folder.open_or_create(settings) == "resumed"


def test_another_folder_or_a_file_is_refused_and_untouched(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"is not a study \(it holds notes\.txt"):
        StudyFolder(tmp_path).open_or_create(CONFIG)
    with pytest.raises(UsageError, match="is a file"):
        StudyFolder(tmp_path / "notes.txt").open_or_create(CONFIG)
    assert content(tmp_path) == {"notes.txt": b"mine"}


def test_the_remains_of_a_killed_first_write_are_ours(tmp_path):
    (tmp_path / ".lock").write_text("17\n")
    (tmp_path / ".study.yaml.x1.tmp").write_text("pre")
    assert StudyFolder(tmp_path).open_or_create(CONFIG) == "created"


@pytest.mark.parametrize("text", ["a: [1", "- 1", "", "a: !!python/object/apply:os.getcwd []", b"\xff\xfe\xff"])
def test_a_broken_study_file_is_one_sentence(tmp_path, text):
    (tmp_path / "study.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=r"study\.yaml .*--out") as caught:
        StudyFolder(tmp_path).open_or_create(CONFIG)
    assert "\n" not in str(caught.value)


def test_stale_temporaries_are_removed_and_nothing_else(tmp_path):
    folder = StudyFolder(tmp_path)
    folder.open_or_create(CONFIG)
    run = folder.run_folder("0123456789abcdef")
    for path in (run / "metrics.jsonl", run / "notes.tmp", folder.figures / ".regret.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("keep")
    before = content(tmp_path)
    (folder.figures / ".regret.png.ab12.tmp").write_text("half")
    (run / ".checkpoint.tmp" / "inner").mkdir(parents=True)
    (run / ".checkpoint.tmp" / "inner" / ".x.tmp").write_text("half")
    assert {p.name for p in folder.clean_temporaries()} == {".regret.png.ab12.tmp", ".checkpoint.tmp", ".x.tmp"}
    assert content(tmp_path) == before
    assert folder.clean_temporaries() == []


@pytest.mark.parametrize("key", ["../../../etc/xxxx", "0123456789abcde", "0123456789ABCDEF", "0123456789abcdef\n", ""])
def test_keys_that_could_leave_the_folder_are_refused(tmp_path, key):
    with pytest.raises(ValueError, match="16 lowercase hex"):
        StudyFolder(tmp_path).run_folder(key)


READ_ONLY = """
import os, sys
from rankwise.ledger import Ledger, StudyFolder, StudyLock
import rankwise.ledger.store, yaml, sqlite3
from rankwise.errors import UsageError
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
def attempt(action):
    try:
        action()
    except UsageError as error:
        print(error)
attempt(lambda: StudyLock(sys.argv[1]).__enter__())
attempt(lambda: StudyFolder(sys.argv[1]).open_or_create({"a": 1}))
attempt(lambda: Ledger(sys.argv[1]))
attempt(lambda: StudyFolder(sys.argv[1] + "/sub").open_or_create({"a": 1}))
"""


def test_a_read_only_folder_is_one_sentence():
    path = tempfile.mkdtemp()  # not tmp_path: its parents are closed to the user we become
    try:
        os.chmod(path, 0o555)
        done = subprocess.run([sys.executable, "-c", READ_ONLY, path], capture_output=True, text=True, check=True)
    finally:
        os.chmod(path, 0o755)
        shutil.rmtree(path)
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    for line in lines:
        assert line.startswith(f"cannot write in {path}")
        assert line.endswith("Permission denied; free the space or choose another --out")
