"""``rankwise study methods --methods all``: every method for a few steps, beside the untouched model."""

from __future__ import annotations

import json
import re

import pytest

from rankwise.cli.main import main
from rankwise.errors import UsageError
from rankwise.methods import catalogue
from rankwise.report.next_step import next_step
from rankwise.studies.presets import method_groups
from rankwise.studies.presets.method_groups import methods_named
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.presets.survey import left_out

FEW = ("lora", "bitfit", "vera", "ia3")


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setitem(method_groups.GROUPS, "few", lambda: FEW)


def test_all_is_the_catalogue_without_the_reference():
    assert {*methods_named("all"), "full"} == {card.name for card in catalogue()}
    with pytest.raises(UsageError, match=r"unknown group of methods 'al'.*'all'"):
        methods_named("al")


def test_a_group_is_surveyed_at_the_methods_defaults():
    config = resolve_study("methods", "quick", {"methods": ["all"]})
    assert config.steps == 8
    assert config.survey == ("all",)
    assert not config.fresh_seeds
    assert {len(rates) for rates in config.learning_rates.values()} == {2}
    assert {arm.method for arm in config.arms} == {"full", *methods_named("all")} - set(
        left_out(["all"], "quick", "default")
    )
    assert all(not arm.options for arm in config.arms)
    assert config.train_spec(config.arms[1], 1e-3, 0).eval_steps == (4, 8)


@pytest.mark.parametrize("group", sorted(method_groups.GROUPS))
def test_a_group_is_surveyed_at_small_ranks_on_the_tiny_model(group):
    """Methods that choose their rank by the width (GaLore, Flora) included."""
    config = resolve_study("methods", "smoke", {"methods": [group]})
    ranks = {arm.method: arm.options["rank"] for arm in config.arms if "rank" in arm.options}
    assert ranks
    assert set(ranks.values()) <= {1, 2, 3, 4}
    assert {arm.method for arm in config.arms} == {"full", *methods_named(group)} - set(
        left_out([group], "smoke", "tiny")
    )


def test_single_methods_stay_a_study_with_a_verdict():
    config = resolve_study("methods", "quick", {"methods": ["lora", "vera"]})
    assert [arm.name for arm in config.arms] == ["full", "lora-r16", "vera"]
    assert not config.survey
    assert config.fresh_seeds
    with pytest.raises(UsageError, match="unknown method in this study 'verra'"):
        resolve_study("methods", "quick", {"methods": ["verra"]})
    with pytest.raises(UsageError, match="a survey judges nothing"):
        resolve_study("methods", "quick", {"methods": ["all"], "fresh_seeds": [1]})


def test_what_the_model_cannot_carry_is_left_out_with_the_reason(few):
    assert list(left_out(["few"], "smoke", "tiny")) == ["bitfit"]
    assert "placement 'biases' matches no linear module" in left_out(["few"], "smoke", "tiny")["bitfit"]


def test_a_survey_says_where_every_method_ends_what_failed_and_how_long_it_took(few, tmp_path, capsys):
    command = ["study", "methods", "--scale", "smoke", "--methods", "few", "--out", str(tmp_path / "s")]
    command += ["--set", "sizes.train=16", "--set", "sizes.selection=4", "--set", "sizes.test=4"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "3 of 3 methods end below the untouched model's NLL of" in said
    for method in ("lora", "vera", "ia3"):
        line = next(line for line in said.splitlines() if line.startswith(f"{method} "))
        assert "below the base" in line
        assert " -" in line
    assert "8 runs of 8 steps in" in said
    assert "no faults" in said
    assert "Left out: bitfit: placement 'biases' matches no linear module" in said
    assert "at the edge" not in said
    assert "rankwise study methods --scale quick --methods few" in said
    document = json.loads((tmp_path / "s" / "results.json").read_text())
    document["results"]["study"]["scale"] = "quick"
    assert re.search(r"--scale quick --methods \w+,\w+,\w+ --out runs/methods-quick-best$", next_step(document).command)
    page = (tmp_path / "s" / "report.html").read_text()
    assert "Every method beside the untouched model" in page
    assert page.count("below the base") == 4, "and full fine-tuning"
    assert main([*command, "--json"]) == 0, "goes on where it was"
