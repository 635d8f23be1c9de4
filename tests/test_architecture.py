"""The house: imports point down only, every file states its purpose, and files stay small."""

import ast
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
