"""The command to type next fits what was found, and can be pasted."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from rankwise.report.next_step import needed, next_step
from rankwise.stats.planning import Needs

from .fixtures import comparisons, documents

RECIPE = "rankwise train --method lora --rank 16 --alpha 32 --placement all-linear --lr 3e-3 --batch 8 --steps 24"


def falls_short() -> dict[str, Any]:
    document = documents.gone_wrong()
    for arm in document["results"]["arms"]:
        if arm["verdict"]["word"] in ("undecided", "matches or beats"):
            arm["verdict"]["word"] = "falls short"
    return document


def smoke() -> dict[str, Any]:
    document = documents.quick()
    document["results"]["study"] |= {"scale": "smoke", "preset": "rank"}
    document["provenance"]["command"] = "rankwise study rank --scale smoke --data ../shared/data/gsm8k"
    return document


@pytest.mark.parametrize(
    ("document", "command"),
    [
        (documents.quick(), RECIPE),
        (smoke(), "rankwise study rank --scale quick --data ../shared/data/gsm8k"),
        (documents.screened(), "rankwise study --seeds 3"),
        (documents.gone_wrong(), "rankwise study --until decided --out runs/without-regret-quick-decided"),
        (documents.no_verdict(), "rankwise study --until decided --out runs/without-regret-quick-decided"),
        (falls_short(), "rankwise study rank --scale quick"),
        (documents.all_diverged(), "rankwise study --set 'learning_rates.full=[1e-06, 1e-05, 0.0001, 0.0003, 0.001]'"),
    ],
    ids=["recommended", "smoke", "screened", "undecided", "few seeds", "falls short", "all diverged"],
)  # fmt: skip
def test_command(document: dict[str, Any], command: str) -> None:
    assert next_step(document).command == command


@pytest.mark.parametrize(
    ("typed", "folder"),
    [
        ("rankwise study methods", "runs/methods-quick"),
        ("rankwise study methods --out 'my runs'", "'my runs'"),
        ("rankwise study --out=there own.yaml", "there"),
        ("rankwise study deep/own.yaml", "runs/own"),
    ],
)
def test_an_arm_composed_by_hand_is_trained_from_its_study(typed: str, folder: str) -> None:
    document = documents.quick()
    document["results"]["study"]["preset"] = "methods"
    document["provenance"]["command"] = typed
    name = document["results"]["verdict"]["recommended"]
    next(arm for arm in document["results"]["arms"] if arm["name"] == name)["method"] = "custom"
    assert next_step(document).command == f"rankwise train --from {folder} --steps 24"


@pytest.mark.parametrize(
    ("preset", "typed", "command"),
    [
        ("olora", "rankwise study olora", "rankwise analyze olora --study runs/olora-quick"),
        ("olora", "rankwise study olora --out 'my runs'", "rankwise analyze olora --study 'my runs'"),
        (
            "which-matrices",
            "rankwise study which-matrices",
            "rankwise analyze which-matrices --study runs/which-matrices-quick",
        ),
    ],
)  # fmt: skip
def test_a_preset_that_an_analysis_reads_leads_to_it(preset: str, typed: str, command: str) -> None:
    document = documents.quick()
    document["results"]["study"]["preset"] = preset
    document["provenance"]["command"] = typed
    for arm, method in zip(document["results"]["arms"], ("full", "lora", "olora"), strict=False):
        arm["method"] = method
    assert next_step(document).command == command


def test_model_and_data_are_repeated_as_typed_and_quoted() -> None:
    document = documents.quick()
    columns = "--columns 'question={a} ?,answer=b' --max-length=300"
    document["provenance"]["command"] = f"rankwise study --model=Qwen/Qwen2.5-0.5B --data 'my data; rm -rf x' {columns}"
    words = shlex.split(next_step(document).command)
    assert words[-8:-4] == ["--model", "Qwen/Qwen2.5-0.5B", "--data", "my data; rm -rf x"]
    assert words[-4:] == ["--columns", "question={a} ?,answer=b", "--max-length", "300"]


def test_the_reference_is_repeated_to_a_study_and_not_to_a_training() -> None:
    document = comparisons.best_rank()
    assert next_step(document).command == RECIPE
    document["results"]["study"]["scale"] = "smoke"
    assert next_step(document).command == "rankwise study without-regret --scale quick --reference best-rank"


def test_an_arm_is_trained_at_its_own_batch_size() -> None:
    document = documents.quick()
    document["results"]["arms"][2]["batch"] = 32
    assert "--batch 32 " in next_step(document).command


def test_seeds_are_replaced_not_repeated() -> None:
    document = documents.gone_wrong()
    document["provenance"]["command"] = "rankwise study rank --seeds 3 --out runs/x"
    once = "rankwise study rank --until decided --out runs/x-decided"
    assert next_step(document).command == once, "its one look is taken"
    document["results"]["study"]["until"] = "decided"
    assert next_step(document).command == "rankwise study rank --out runs/x --limit 9"


@pytest.mark.parametrize("found", [(23, 210), (1, None), (None, 1), (None, None)])
def test_what_a_verdict_needs_is_what_the_command_adds(found: tuple[int | None, int | None]) -> None:
    assert needed(str(Needs(*found))) == found
    document = documents.gone_wrong()
    arm = next(arm for arm in document["results"]["arms"] if arm["verdict"]["word"] == "undecided")
    arm["verdict"]["needs"] = str(Needs(*found))
    seeds, examples = found
    for until in ("decided", "seeds"):
        document["results"]["study"]["until"] = until
        words = shlex.split(next_step(document).command)
        if seeds is not None and (until == "decided" or 3 + seeds > 12):
            assert words[words.index("--limit") + 1] == str(3 + seeds)
        elif seeds is not None:
            assert words[words.index("--until") + 1] == "decided"
        elif examples is not None:
            assert f"sizes.test={96 + examples}" in words
        else:
            assert {"--until", "sizes.test=192"} <= set(words), "both together"
