"""The house: imports point down only, every file states its purpose, and files stay small."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "rankwise"
# Top to bottom (DESIGN 2). A room may import itself, the rooms after it, and what lies below all rooms.
ROOMS = [
    "cli",
    "report",
    "continual",
    "integrations",
    "analysis",
    "studies",
    "execution",
    "ledger",
    "stats",
    "engine",
    "cost",
    "methods",
    "adapters",
    "models",
    "data",
    "reading",
]
BELOW = {"errors", "files", "digests", "tensor_files"}
FILES = sorted(SOURCE.rglob("*.py"))


def room(path):
    parts = path.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else None


def imported(tree):
    """Yield every rankwise module that a file imports, wherever in the file it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_the_rooms_are_all_on_the_list():
    assert {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(ROOMS)


@pytest.mark.parametrize("path", [p for p in FILES if room(p)], ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down_only(path):
    allowed = set(ROOMS[ROOMS.index(room(path)) :]) | BELOW
    for module in imported(ast.parse(path.read_text(encoding="utf-8"))):
        if module == "rankwise":  # the version
            continue
        if module.startswith("rankwise."):
            assert module.split(".")[1] in allowed, f"{path.name} in {room(path)}/ imports {module}, which is above it"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_files_are_small_and_say_what_they_are(path):
    text = path.read_text(encoding="utf-8")
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "a file starts by saying what it is"
    assert text.count("\n") <= 400, "one idea a file; past 400 lines it carries its reason or is split"


def test_the_wheel_lists_no_pickle_and_no_eval():
    for path in FILES:
        names = {n.id for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Name)}
        assert not names & {"eval", "exec", "pickle", "__import__"}, path
    assert not any("torch.load" in path.read_text(encoding="utf-8") for path in FILES)


# Readers of what others wrote live in reading/. These files read only bytes that rankwise itself wrote (and checks by a
# digest), speak to a library that must be handed the file, or copy a value through JSON.
OWN_BYTES = {
    "json.loads": {
        *("digests.py", "continual/folder.py", "execution/attempt.py", "execution/executor.py"),
        *(
            "engine/checkpoint/state.py",
            "engine/checkpoint/file.py",
            "ledger/metrics.py",
            "ledger/rows.py",
            "ledger/folder.py",
        ),
        *("studies/study.py", "studies/results/measure.py", "models/cache.py", "integrations/trainer_events.py"),
        *("integrations/export/loader.py", "integrations/merge/shards.py", "integrations/merge/run.py"),
        *("integrations/ends.py", "data/render.py", "data/examples.py", "data/template_use.py"),
        *("data/control.py", "data/twin.py"),
    },
    "yaml.safe_load": {"ledger/folder.py"},
    "safe_open": {
        *("engine/checkpoint/state.py", "engine/checkpoint/file.py", "models/saving.py", "models/folder.py"),
        "integrations/merge/shards.py",
    },
    "load_file": {"adapters/checkpoint_files.py", "integrations/export/loader.py"},
}


@functools.cache
def nodes_of(path):
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def _called(node):
    """``module.name`` or ``name`` of what a call calls."""
    function = node.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return f"{function.value.id}.{function.attr}"
    return function.id if isinstance(function, ast.Name) else ""


def test_what_others_wrote_is_read_in_one_room():
    readers = {"json.load", "json.loads", "yaml.load", "yaml.safe_load", "yaml.unsafe_load", "safe_open", "load_file"}
    found = {}
    for path in FILES:
        if room(path) == "reading":
            continue
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and (name := _called(node)) in readers:
                found.setdefault(name, set()).add(str(path.relative_to(SOURCE)))
    for name, files in found.items():
        assert files <= OWN_BYTES.get(name, set()), f"{name}: read it through rankwise.reading"
    assert found == OWN_BYTES, "a file that no longer reads leaves the list"


COMPILING = {f"re.{how}" for how in ("compile", "match", "fullmatch", "search")}


def test_patterns_from_outside_are_compiled_in_one_room():
    """``re`` takes patterns that stand in the code; a person's pattern may never end (reading/patterns.py)."""
    ours = {
        "data/answers.py",
        "data/control.py",
        "integrations/merge/identity.py",
        "adapters/peft_config.py",
        "report/next_step.py",
    }  # put together, or escaped
    for path in FILES:
        if room(path) == "reading" or str(path.relative_to(SOURCE)) in ours:
            continue
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and _called(node) in COMPILING:
                names = [part for part in ast.walk(node.args[0]) if isinstance(part, ast.Name)]
                assert all(n.id.isupper() or n.id in {"number", "unsafe"} for n in names), (
                    f"{path}: {ast.unparse(node)}"
                )


def test_rooms_that_run_events_know_none_of_them():
    """They ask for capabilities (``adapters/events/base.py``); a new event is a file and a line."""
    names = {
        ast.literal_eval(node.value)
        for path in (SOURCE / "adapters" / "events").glob("*.py")
        for node in nodes_of(path)
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "name" and node.value is not None
    }
    assert len(names) > 20
    for path in FILES:
        if room(path) not in {"cost", "engine", "execution", "ledger", "integrations"}:
            continue
        for node in nodes_of(path):
            assert not (isinstance(node, ast.Constant) and node.value in names), f"{path.name} knows {node.value}"
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rankwise.adapters.events"):
                assert {alias.name for alias in node.names} <= {"Context", "Event", "Rate"}, path
