"""The catalogue is complete, and building by name forgives nothing."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
from pathlib import Path

import pytest

from rankwise import methods
from rankwise.adapters import Adapter, Full
from rankwise.adapters.parametrizations import Delta
from rankwise.adapters.placements import Attention
from rankwise.errors import UsageError

from ..contract.table import ROWS

CARDS = methods.catalogue()
NAMES = [card.name for card in CARDS]
ADAPTERS = [card for card in CARDS if card.name != "full"]
OWN_RANK = {
    "loretta": "2r",
    "melora": "N r",
    "loha": "r^2",
    "hra": "r",
    "spectral_adapter": "2r",
    "lokr": "r min(m1, n1)",
}
OWN_RANK |= {"fourierft": "-"}  # factors of the update, where it has them; full rank otherwise
MORE = {
    **{
        "values": "sigmoid",
        "tensor_rank": 2,
        "bases": 7,
        "seed": 5,
        "trains": "BA",
        "vectors": 9,
        "length": 8,
        "topk": 1,
    },
    **{"count": 4, "factor": 2, "factors": 3, "frequencies": 7, "scale": 2.5, "first": 3, "rows": "top"},
    **{"iterations": 2, "nonlinearity": "relu", "after": "feed-forward", "tokens": 7, "width": 9},
    **{
        "total": 0.5,
        "keys": 0.2,
        "hidden": 0.2,
        "beta": 0.7,
        "position": "weights",
        "group": 64,
        "depth": 4,
        "compressed": True,
        "fixed": 0.7,
        "start": 2.0,
    },
}
NOT_MERGED = ("bottleneck", "loretta_adapter", "prompt_tuning", "prefix_tuning", "p_tuning", "hybrid")
OWN = {
    ("spectral_adapter", "form"): "rotational",
    ("lora", "experts"): "divided",
    ("lora", "slices"): "q,v",
    ("lora", "slice_sizes"): (32, 16, 16),
}
COMPANY = {  # options that are about a placement, or about another option
    ("lora", "experts"): {"placement": "experts"},
    ("lora", "slices"): {"placement": "c_attn"},
    ("lora", "slice_sizes"): {"placement": "c_attn", "slices": "q,v"},
}
every_card = pytest.mark.parametrize("card", CARDS, ids=NAMES)
every_adapter = pytest.mark.parametrize("card", ADAPTERS, ids=[card.name for card in ADAPTERS])


def test_names_are_unique_snake_case_and_each_has_its_file():
    assert len(set(NAMES)) == len(NAMES)
    assert all(re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) for name in NAMES)
    files = {path.stem for path in Path(methods.__file__).parent.glob("*.py")}
    around = {"__init__", "card", "cards", "compatibility_table", "event_names", "placement_names"}
    around |= {"rate_rule", "taxonomy"}
    assert files - around == set(NAMES)
    assert all(getattr(methods, name) is methods.card(name).build for name in NAMES), "rw.methods.<name> is the builder"


def test_the_catalogue_is_the_lines_of_the_package_in_their_order():
    """A line names its method once more after ``as``, which is what makes it public to a type checker."""
    lines = [node for node in ast.parse(inspect.getsource(methods)).body if isinstance(node, ast.ImportFrom)]
    public = [(node.module.rpartition(".")[2], one.name, one.asname) for node in lines for one in node.names]
    assert [file for file, name, asname in public if file == name == asname] == NAMES
    assert all(name == asname for _, name, asname in public), "all are public"


@every_card
def test_every_card_says_what_the_catalogue_promises(card):
    assert card.title
    assert card.formula
    assert card.fidelity
    spec = card.build()
    assert card.owns_base == (isinstance(spec, Full) or any(event.owns_base for event in spec.events))
    assert card.merges == (card.name not in ("full", *NOT_MERGED))
    json.dumps(card.to_dict(), allow_nan=False)
    assert "build" not in card.to_dict()


@every_adapter
def test_every_adapter_card_has_axes_a_formula_and_its_citation(card):
    assert re.fullmatch(r"\d{4}\.\d{5}", card.arxiv)
    assert set(card.axes) <= {field.name for field in dataclasses.fields(Adapter)}
    delta = card.build().parametrization.kind == "delta"
    assert re.match("W = .*W0 [+] " if delta else "y = .*W0 ?.*x", card.formula)
    assert card.citation.startswith("@article{")
    assert card.citation.count("{") == card.citation.count("}"), "BibTeX braces balance"
    for field in ("title", "author", "journal", "year"):
        assert re.search(rf"^\s*{field}=", card.citation, re.MULTILINE), field
    assert card.arxiv in card.citation
    assert card.title in card.citation


@every_adapter
def test_a_card_describes_the_adapter_that_its_builder_makes(card):
    adapter = card.build()
    assert isinstance(adapter, Adapter)
    for axis, choice in card.axes.items():
        found = getattr(adapter, axis)
        assert (" + ".join(one.name for one in found) if isinstance(found, tuple) else found.name) == choice
    assert bool(adapter.events) == ("events" in card.axes)
    assert bool(adapter.penalties) == ("penalties" in card.axes)
    if card.name in OWN_RANK:
        assert card.export_rank == OWN_RANK[card.name]
    elif not isinstance(adapter.parametrization, Delta) or adapter.parametrization.reads_base:
        assert card.export_rank == "-", "its update has full rank"
    elif not adapter.parametrization.ranked:
        assert card.export_rank == "-", "a whole matrix"
    elif card.owns_base:
        assert card.export_rank == "-", "it is saved as a model"
    elif any(event.name in ("merge-and-restart", "boosting") for event in adapter.events):
        assert card.export_rank.startswith("r"), "times the merges"
    elif adapter.init.quantized:
        assert card.export_rank == "-", "the codes are another base"
    else:
        assert card.export_rank == ("2r" if adapter.init.edits_base else "r")
    assert card.merges == (not adapter.parametrization.not_merged)
    assert ("B0 A0" in card.formula) == ("B0 A0" in adapter.formula)


@every_card
def test_every_option_has_a_default_and_reaches_the_adapter(card):
    parameters = dict(inspect.signature(card.build).parameters)
    assert ("events" in parameters) == (card.name != "full")
    parameters.pop("events", None)  # test_events_option.py
    assert all(p.default is not inspect.Parameter.empty for p in parameters.values())
    other = {"rank": 6, "alpha": 5.0, "placement": "attention", "dropout": 0.2, "init": "gaussian"}
    other |= {"axis": "in", "ratio": 4.0, "d_init": 0.2, "form": "paper", "window": "mid", "side": "out"}
    other |= {"mode": "kpm", "rho": 1.0, "whiten": True, "direction": "random", "gamma": 8.0, "singular_values": True}
    other |= {"double": False, "block": 128, "steps": 1}
    other |= {
        "target": 3,
        "every": 7,
        "orthogonality": 0.3,
        "merges": 1,
        "warmup": 0.5,
        "moments": "random",
        "links": 5,
    }
    other |= {"layers": 0.7, "ridge": 0.3, "weight": 0.5, "begin": 0.4, "frozen": True, "spread": 0.2, "fraction": 0.3}
    other |= {"xi": 0.1, "last": 0.5, "keep": 0.4, "density": 0.3, "by": "random", "large": True, "threshold": 0.5}
    other |= {"stage": 0.3, "shared": "frozen", "scale": 0.5, "delta": 0.1, "lower": 3, "upper": 0.4, "variance": 0.3}
    other |= {"corrected": True, "scope": "attention", "rate": 0.3, "calibrate": 0.0}
    for option in parameters:
        company = COMPANY.get((card.name, option), {})
        value = OWN.get((card.name, option)) or {**other, **MORE}[option]
        assert methods.build(card.name, **company, **{option: value}) != methods.build(card.name, **company), (
            f"{option} has no effect"
        )


def test_full_is_the_reference():
    assert methods.build("full") == Full()
    assert methods.card("full").citation == ""
    assert methods.card("full").axes == {}


def test_defaults_golden():
    """What a person gets who names nothing but the method."""
    lora = methods.lora()
    assert (lora.rank, lora.alpha, lora.s, lora.dropout) == (16, 32.0, 2.0, 0.0)
    assert methods.rslora().s == lora.s, "the same loudness at the default rank"
    assert methods.olora(rank=8).s == methods.pissa(rank=8).s == 1.0, "alpha follows the rank"
    assert methods.lora(256).alpha == 32.0, "and does not for LoRA"
    assert methods.lora_plus().optimizer.ratio == 16.0
    assert methods.dora().parametrization.axis == "out", "as PEFT and the authors' code"
    assert methods.build("olora", rank=8, alpha=16, placement="attention").placement == Attention()


def test_methods_are_the_compositions_they_claim():
    """Each differs from LoRA in one choice."""
    base = methods.lora(8, alpha=8.0).to_dict()
    differences = {
        "rslora": "scaling",
        "olora": "init",
        "pissa": "init",
        "dora": "parametrization",
        "lora_plus": "optimizer",
    }
    for name, axis in differences.items():
        spec = methods.build(name, rank=8, alpha=8.0).to_dict()
        assert {key for key in spec if spec[key] != base[key]} == {axis}


@pytest.mark.parametrize(
    ("name", "guess"),
    [("lorra", "'lora'"), ("o-lora", "'olora'"), ("rs_lora", "'rslora'"), ("PiSSA", "Known: adalora, ")],
)
def test_an_unknown_method_gets_near_misses(name, guess):
    with pytest.raises(UsageError, match=f"unknown method '{name}'.*{guess}"):
        methods.build(name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "lora",
            {"ranks": 8},
            "method 'lora' has no option 'ranks'; did you mean 'rank'. It takes rank, alpha, placement, dropout, init",
        ),
        ("olora", {"dropout": 0.1}, "method 'olora' has no option 'dropout'; it takes rank, alpha, placement"),
        ("full", {"rank": 8}, "method 'full' has no option 'rank'; it takes no options"),
        ("lora", {"rank": 0}, "rank must be a whole number of at least 1, found 0"),
        ("lora", {"rank": "8"}, "rank must be a whole number of at least 1, found '8'"),
        ("lora", {"alpha": "8"}, "alpha must be a number, found '8'"),
        ("lora", {"init": "kaimin"}, "unknown init 'kaimin'; did you mean 'kaiming'"),
        ("lora", {"placement": "atention"}, "unknown placement 'atention'; did you mean 'attention'"),
        ("dora", {"axis": "rows"}, "axis of 'weight-decomposed' must be 'out'"),
        ("lora_plus", {"ratio": 0}, "ratio must be a number of at least 1"),
        ("lora", {"init": "olora", "dropout": 0.1}, r"dropout 0\.1 with init 'olora' would change the model"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(UsageError, match=message):
        methods.build(name, **options)


def test_every_method_has_a_row_in_the_contract_table():
    def kind(adapter):
        return tuple(getattr(adapter, axis).name for axis in ("parametrization", "init", "scaling", "optimizer"))

    rows = {kind(row.adapter) for row in ROWS}
    elsewhere = {"qlora", "loftq", "qpissa"}  # adapters/test_nf4.py
    elsewhere |= {
        *NOT_MERGED,
        "ln_tuning",
        "longlora",
    }  # contract/test_not_merged.py, adapters/test_{prompts,norms,hybrid,...}.py
    assert {kind(card.build()) for card in ADAPTERS if card.name not in elsewhere} <= rows
