"""The library called by hand: a misspelt name or option is answered with the nearest, another kind in one sentence."""

import inspect
import json
from pathlib import Path

import pytest
import torch

import rankwise as rw
from rankwise.errors import UsageError
from rankwise.models import tiny_model
from rankwise.studies.presets.resolve import resolve_study

FUNCTIONS = [getattr(rw, name) for name in rw.__all__ if inspect.isfunction(getattr(rw, name))]
METHODS = [getattr(rw.methods, card.name) for card in rw.methods.catalogue()]
SMALL = {
    "scale": "smoke",
    "methods": "lora-r4",
    "steps": 2,
    "eval_every": 1,
    "fresh_seeds": [],
    "finalists": 0,
    "sizes": {"train": 8, "selection": 4, "test": 4},
}


def misspelt(name):
    return name + "x"


@pytest.mark.parametrize("function", [*FUNCTIONS, *METHODS], ids=lambda f: f.__name__)
def test_a_misspelt_option_names_the_nearest(function):
    parameters = inspect.signature(function).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return  # its options are settings, below
    for name in parameters:
        with pytest.raises(UsageError, match=f"has no option '{misspelt(name)}'; did you mean .*'{name}'"):
            function(**{misspelt(name): None})


@pytest.mark.parametrize(
    "name", ["model", "data", "steps", "batch", "eval_every", "sizes", "max_length", "exact_match"]
)
def test_a_misspelt_setting_names_the_nearest(name, tmp_path):
    wrong = {misspelt(name): 1}
    for call in (
        lambda: rw.study("rank", scale="smoke", out=tmp_path / "s", **wrong),
        lambda: rw.train("tiny", rw.methods.lora(2), "word-problems", lr=1e-3, out=tmp_path / "t", **wrong),
    ):
        with pytest.raises(UsageError, match=f"unknown study setting '{misspelt(name)}'; did you mean .*'{name}'"):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [card.name for card in rw.methods.catalogue()])
def test_a_misspelt_method_names_the_nearest(name):
    with pytest.raises(AttributeError, match=f"did you mean .*'{name}'"):
        getattr(rw.methods, misspelt(name))


@pytest.mark.parametrize("name", rw.__all__)
def test_a_misspelt_public_name_names_the_nearest(name):
    assert not hasattr(rw, misspelt(name))
    with pytest.raises(AttributeError, match=f"did you mean .*'{name}'"):
        getattr(rw, misspelt(name))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda there: rw.study(model=tiny_model()), "model must be a name, a path or a hub id, found a Llama"),
        (lambda there: rw.study(model=there, data=[1]), "data must be a name, a path or a hub id, found a list"),
        (lambda there: rw.train(tiny_model(), rw.Full(), "code-book", lr=1, out=there), "model must be a name"),
        (lambda there: rw.train("tiny", None, "code-book", lr=1, out=there), "target must be an adapter, Full"),
        (lambda there: rw.train("tiny", "lorra", "code-book", lr=1, out=there), "did you mean 'lora'"),
        (lambda there: rw.attach("tiny", rw.methods.lora()), "attach needs a module and an adapter"),
        (lambda there: rw.attach(torch.nn.Linear(2, 2), rw.Full()), "attach needs a module and an adapter"),
        (lambda there: rw.save(torch.nn.Linear(2, 2), there), "save needs the handle"),
        (lambda there: rw.methods.lora(placement=[]), "a list of module names, found"),
        (lambda there: rw.methods.lora(placement=[1]), "a list of module names, found"),
        (lambda there: rw.methods.lora(placement=None), "a list of module names, found"),
    ],
)
def test_a_thing_of_another_kind_is_one_sentence(call, said, tmp_path):
    with pytest.raises(UsageError, match=said) as caught:
        call(tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("names", [["q_proj", "v_proj"], ("q_proj", "v_proj"), ["q_proj"]])
def test_a_placement_may_be_a_list_of_module_names(names):
    written = ",".join(names)
    assert rw.methods.lora(placement=names) == rw.methods.lora(placement=written)
    assert rw.methods.olora(placement=names) == rw.methods.olora(placement=written)
    arm = {"method": "lora", "options": {"rank": 2, "placement": list(names)}}
    (_, own) = resolve_study("rank", "smoke", {"arms": [arm]}).arms
    assert own.target() == rw.methods.lora(rank=2, placement=names)


def test_a_study_from_python_writes_its_report_and_can_be_continued_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text("preset: rank\nscale: smoke\n", encoding="utf-8")
    settings = {name: value for name, value in SMALL.items() if name != "scale"}
    document = rw.study("own.yaml", **settings, out=Path("s"))
    assert Path("s/report.html").is_file()
    written = json.loads(Path("s/results.json").read_text(encoding="utf-8"))
    assert {name: written[name] for name in document} == document
    assert document["provenance"]["command"] == "rankwise study s/study.yaml --out s"
