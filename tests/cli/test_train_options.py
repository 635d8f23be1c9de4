"""``train --set method.NAME=VALUE``: every option of a method can be had without Python."""

from __future__ import annotations

import json

import pytest

from rankwise.cli.main import main

DRY = ["train", "--scale", "smoke", "--dry-run", "--json"]


def planned(capsys, *arguments):
    assert main([*DRY, *arguments]) == 0
    return json.loads(capsys.readouterr().out)["config"]["arms"][-1]["adapter"]


def test_options_reach_the_builder(capsys):
    options = ["--method", "relora", "--rank", "2", "--set", "method.merges=2", "--set", "method.moments=random"]
    adapter = planned(capsys, *options, "--set", "steps=8")
    assert adapter["rank"] == 2
    (event,) = adapter["events"]
    assert (event["times"], event["moments"]) == (2, "random")
    sliced = planned(
        capsys,
        *("--set", "method.slices=q,v", "--set", "method.slice_sizes=[8, 4, 4]", "--placement", "qkv_proj,"),
    )
    assert sliced["parametrization"] == {"name": "slices", "enabled": [True, False, True], "sizes": [8, 4, 4]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "method.merges=2"], "method 'lora' has no option 'merges'; it takes rank, alpha"),
        (["--method", "relora", "--set", "method.moments=none"], "moments"),
        (["--rank", "4", "--set", "method.rank=8"], "--rank and --set method.rank are the same option"),
        (["--set", "method=relora"], "--method does"),
        (["--method", "prilora", "--set", "method.spread=wide"], "spread"),
        (["--set", "method.placement=[3]"], "placement must be a text such as 'all-linear' or a list of module names"),
    ],
)
def test_bad_options_are_one_sentence(arguments, said, capsys):
    assert main([*DRY, *arguments]) == 2
    shown = capsys.readouterr().err
    assert said in " ".join(shown.split())
    assert "Traceback" not in shown


def test_a_studys_recipe_keeps_its_method(tmp_path, capsys):
    assert main(["train", "--from", str(tmp_path), "--set", "method.rank=2"]) == 2
    assert "--set method.NAME cannot be given with --from" in capsys.readouterr().err
