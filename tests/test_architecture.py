"""The house: imports point down only, every file states its purpose, and files stay small."""

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "rankwise"
# Top to bottom, as in ARCHITECTURE.md. A room may import itself, the rooms after it, and what lies below all rooms.
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
BELOW = {"errors", "files", "digests", "tensor_files", "locks"}
FILES = sorted(SOURCE.rglob("*.py"))


def inside(path):
    return str(path.relative_to(SOURCE))


def room(path):
    parts = path.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else None


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path):
    """Yield every module that a file imports, wherever in the file it does."""
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_the_rooms_are_all_on_the_list():
    assert {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(ROOMS)


# One test for all files: each goes through every file and names everything that is wrong at once.
def test_imports_point_down_only():
    wrong = [
        f"{inside(path)} imports {module}, which is above it"
        for path in FILES
        if room(path)
        for module in imported(path)
        if module.startswith("rankwise.")  # rankwise alone is the version
        if module.split(".")[1] not in {*ROOMS[ROOMS.index(room(path)) :], *BELOW}
    ]
    assert not wrong, "\n".join(wrong)


def test_files_are_small_and_say_what_they_are():
    wrong = []
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        if text.strip() and not ast.get_docstring(tree_of(path)):
            wrong.append(f"{inside(path)}: a file starts by saying what it is")
        if text.count("\n") > 400:
            wrong.append(f"{inside(path)}: one idea a file; past 400 lines it carries its reason or is split")
    assert not wrong, "\n".join(wrong)


def test_the_wheel_lists_no_pickle_and_no_eval():
    wrong = []
    for path in FILES:
        names = {node.id for node in nodes_of(path) if isinstance(node, ast.Name)}
        names |= {"torch.load"} if "torch.load" in path.read_text(encoding="utf-8") else set()
        banned = names & {"eval", "exec", "pickle", "__import__", "torch.load"}
        wrong += [f"{inside(path)}: {name}" for name in sorted(banned)]
    assert not wrong, "\n".join(wrong)


# Readers of what others wrote live in reading/. These files read what rankwise itself wrote.
OWN_BYTES = {
    "json.loads": {
        *("engine/checkpoint/state.py", "engine/checkpoint/file.py", "ledger/rows.py"),  # with a digest
        "integrations/trainer_events.py",  # inside a checkpoint that integrations/trainer.py has held against its own
        "ledger/metrics.py",  # a line that is not read is left out
        "studies/results/measure.py",  # what a process of ours and its child say to each other
        "integrations/export/loader.py",  # of an export just written, by a reader that shares nothing with ours
        *("data/render.py", "data/examples.py", "data/template_use.py", "data/control.py"),  # of a row read before
        "data/twin.py",  # what the library of tokenizers writes of one in memory
    },
    "yaml.safe_load": {"ledger/folder.py"},  # the text it is about to write
    "safe_open": {
        *("engine/checkpoint/state.py", "engine/checkpoint/file.py"),  # with a digest
        "models/saving.py",  # what transformers wrote a moment before, in a folder of ours
    },
    "load_file": {"integrations/export/loader.py"},
}
COPYING = {"json.dumps", "canonical"}  # a value through JSON and back: no file is read


@functools.cache
def nodes_of(path):
    return list(ast.walk(tree_of(path)))


def _called(node):
    """``module.name`` or ``name`` of what a call calls."""
    function = node.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return f"{function.value.id}.{function.attr}"
    return function.id if isinstance(function, ast.Name) else ""


def _copies(node):
    """Whether what is read was made by the call inside the call."""
    return bool(node.args) and isinstance(node.args[0], ast.Call) and _called(node.args[0]) in COPYING


def test_what_others_wrote_is_read_in_one_room():
    readers = {"json.load", "json.loads", "yaml.load", "yaml.safe_load", "yaml.unsafe_load", "safe_open", "load_file"}
    found = {}
    for path in FILES:
        if room(path) == "reading":
            continue
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and (name := _called(node)) in readers and not _copies(node):
                found.setdefault(name, set()).add(str(path.relative_to(SOURCE)))
    wrong = [
        f"{file}: {name}: read it through rankwise.reading"
        for name, files in found.items()
        for file in sorted(files - OWN_BYTES.get(name, set()))
    ]
    wrong += [
        f"{file}: {name}: a file that no longer reads leaves the list"
        for name, files in OWN_BYTES.items()
        for file in sorted(files - found.get(name, set()))
    ]
    assert not wrong, "\n".join(wrong)
    assert found == OWN_BYTES


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
    wrong = []
    for path in FILES:
        if room(path) == "reading" or inside(path) in ours:
            continue
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and _called(node) in COMPILING:
                names = [part for part in ast.walk(node.args[0]) if isinstance(part, ast.Name)]
                if not all(n.id.isupper() or n.id in {"number", "unsafe"} for n in names):
                    wrong.append(f"{inside(path)}: {ast.unparse(node)}")
    assert not wrong, "\n".join(wrong)


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
