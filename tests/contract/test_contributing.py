"""CONTRIBUTING's example init and event, run as they stand there: one file, one line in the registry, every check."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rankwise import methods
from rankwise.adapters import events, inits
from rankwise.engine import Forward, train
from rankwise.errors import UsageError
from rankwise.methods.compatibility_table import alternatives

from ..engine.packing import alone, packed, same
from ..events import test_every_method as of_runs
from ..events.runs import RUNS, Expected, spec, wide_base
from ..events.test_every_method import whole  # noqa: F401 (a fixture)
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


BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def imported(code, path):
    """Write the file and import it."""
    path.write_text(code, encoding="utf-8")
    found = importlib.util.spec_from_file_location(f"rankwise_example_{path.stem}", path)
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    """Add the init's line."""
    module = imported(BLOCKS[0], tmp_path_factory.mktemp("inits") / "identity.py")
    inits.INITS["identity"] = module.Identity
    try:
        names = {"Row": Row, "methods": methods, "product": product, "Identity": module.Identity}
        yield eval(BLOCKS[1], names)
    finally:
        del inits.INITS["identity"], sys.modules[module.__name__]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Add the event's lines; the name of its run."""
    module = imported(BLOCKS[2], tmp_path_factory.mktemp("events") / "recent_tokens.py")
    events.EVENTS["recent-tokens"] = module.RecentTokens
    ((name, expected),) = eval(f"{{{BLOCKS[3]}}}", {"Expected": Expected, "spec": spec}).items()
    RUNS[name] = expected
    try:
        yield name
    finally:
        del events.EVENTS["recent-tokens"], RUNS[name], sys.modules[module.__name__]


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


@pytest.mark.exactness
def test_the_event_passes_the_checks_of_a_run(run, tiny_base, tiny_splits, tmp_path, whole):  # noqa: F811
    of_runs.test_events_fire_when_they_say_and_say_what_they_did(run, whole)
    of_runs.test_resumed_equals_undisturbed(run, tiny_base, tiny_splits, tmp_path, whole)
    of_runs.test_what_was_saved_scores_as_the_run_did(run, tiny_base, tiny_splits, whole)


@pytest.mark.exactness
def test_the_event_in_a_pack(run, tiny_base, tiny_splits, tmp_path):
    specs = {"event": RUNS[run].spec, "groups": RUNS["longlora, groups"].spec, "plain": spec("lora", rank=2)}
    specs = {name: replace(one, steps=2, eval_steps=()) for name, one in specs.items()}
    by_itself = alone(tiny_base, tiny_splits, specs, tmp_path / "alone")
    same(by_itself, packed(tiny_base, tiny_splits, specs, tmp_path / "packed"))
    assert by_itself[0]["event"].losses != by_itself[0]["plain"].losses


def test_the_event_is_one_event_flat_and_padded(run, tiny_splits):
    """In float64, where both ways agree to rounding; Llama normalizes in float32."""
    base, one = wide_base(), replace(RUNS[run].spec, steps=2, eval_steps=())
    flat, padded = (train(base, one, tiny_splits, forward=Forward(base.model, flat=flat)) for flat in (None, False))
    assert flat.losses == pytest.approx(padded.losses, abs=1e-6)
    plain = train(base, replace(one, target=methods.lora(2)), tiny_splits)
    assert abs(flat.losses[0] - plain.losses[0]) > 1e-4


def test_the_event_s_name_resolves_at_the_edge_and_traits_refuse_it(run):
    made = methods.build("dora", rank=2, events="recent-tokens")
    assert made.events == (events.EVENTS[run](),)
    assert run in alternatives(methods.lora())["event"]
    for other, said in (("hidden-key", "keep one of them"), ("shifted-attention", "may come once")):
        with pytest.raises(UsageError, match=said):
            methods.build("lora", events=[run, other])
    with pytest.raises(UsageError, match="'recent-tokens' counts the tokens themselves and needs an adapter on layers"):
        methods.build("prompt_tuning", events=run)
