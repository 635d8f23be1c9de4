"""CONTRIBUTING's example init, run as it stands there: one file, one line in the registry, one row, every check."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from pathlib import Path

import pytest

from rankwise import methods
from rankwise.adapters import inits

from . import test_base, test_checkpoint, test_determinism, test_many, test_merge, test_spec, test_update
from .models import MODELS
from .table import Row, product

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
CHECKS = [
    check
    for module in (test_spec, test_update, test_base, test_merge, test_many, test_checkpoint, test_determinism)
    for name, check in sorted(vars(module).items())
    if name.startswith("test_") and {"row"} <= set(inspect.signature(check).parameters) <= {"row", "tiny", "tmp_path"}
]


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    """Write the file, import it, add the line."""
    code, line = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[:2]
    path = tmp_path_factory.mktemp("inits") / "identity.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("rankwise_example_identity", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    inits.INITS["identity"] = module.Identity
    try:
        names = {"Row": Row, "methods": methods, "product": product, "Identity": module.Identity}
        yield eval(line, names)
    finally:
        del inits.INITS["identity"], sys.modules[spec.name]


def test_there_is_something_to_check():
    assert len(CHECKS) > 15


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_example_passes(check, row, tmp_path):
    wanted = inspect.signature(check).parameters
    for i, tiny in enumerate(MODELS if "tiny" in wanted else MODELS[:1]):
        folder = tmp_path / str(i)
        folder.mkdir()
        values = {"row": row, "tiny": tiny, "tmp_path": folder}
        check(**{name: values[name] for name in wanted})


def test_the_name_resolves_at_the_edge(row):
    assert methods.build("lora", rank=4, alpha=8, init="identity") == row.adapter
