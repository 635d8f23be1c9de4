"""The one command to type next, chosen from what the study found."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankwise.report import wording
from rankwise.report.view import Document

ENOUGH_SEEDS = 3
ANALYZED = ("olora", "which-matrices")  # presets whose question `rankwise analyze` answers


@dataclass(frozen=True)
class NextStep:
    """Why, and the command: paste-able into a POSIX shell."""

    why: str
    command: str


def analysis_step(results: dict[str, Any], folder: str) -> NextStep | None:
    """Return the analysis that answers the question of a study's preset, if there is one and the study has its arms.

    Args:
        results: of the study, or of one of its cells.
        folder: of the whole study.
    """
    preset, methods = results["study"]["preset"], {arm["method"] for arm in results["arms"]}
    if preset not in ANALYZED or (preset == "olora" and not methods >= {"lora", "olora"}):
        return None
    command = ["rankwise", "analyze", preset, "--study", folder]
    return NextStep("Read the answer to this study's question:", shlex.join(command))


def next_step(document: Document) -> NextStep:
    """Choose the next command; the first of these that applies.

    A preset that an analysis reads leads to it; a smoke study to the real one; a recommendation to training it; too
    little evidence to more seeds; a clean miss to higher ranks; anything else to the environment and data check.
    """
    results = document["results"]
    if step := analysis_step(results, _folder(document)):
        return step
    typed = _options(document["provenance"]["command"])
    words = {arm["verdict"]["word"] for arm in results["arms"] if not arm["reference"]}
    seeds = len(results["study"]["fresh_seeds"])
    chosen = next((arm for arm in results["arms"] if arm["name"] == results["verdict"]["recommended"]), None)
    if results["study"]["scale"] == "smoke":
        preset = results["study"]["preset"]
        where = {key: value for key, value in typed.items() if key != "--model"}
        if results.get("survey"):
            where["--methods"] = ",".join(results["survey"]["methods"])
        real = ["rankwise", "study", preset, "--scale", "quick", *_flat(where)]
        return NextStep("This was a smoke test. Ask the same question of a real model:", shlex.join(real))
    if results.get("survey"):
        best = ["rankwise", "study", "methods", "--scale", results["study"]["scale"], "--methods", _best(results)]
        return NextStep("Ask which of the best ones matches full fine-tuning:", shlex.join([*best, *_flat(typed)]))
    if chosen is not None:
        why = "Train the recommended recipe (raise --steps for a longer run):"
        if chosen["method"] == "custom":  # composed by hand: no name says what it is, its study does
            command = ["rankwise", "train", "--from", _folder(document), "--steps", str(results["training"]["steps"])]
            return NextStep(why, shlex.join(command))
        return NextStep(why, shlex.join(_train(chosen, results["training"], typed)))
    if any(arm["best_lr"] is not None for arm in results["arms"]) and (
        "undecided" in words or words == {"screened"} or ("falls short" not in words and seeds < ENOUGH_SEEDS)
    ):
        why = "Add fresh seeds; the runs already done are kept:"
        return NextStep(why, _with_seeds(document["provenance"]["command"], max(seeds + 3, ENOUGH_SEEDS)))
    if words & {"falls short"} and "no verdict" not in words:
        more = ["rankwise", "study", "rank", "--scale", results["study"]["scale"], *_flat(typed)]
        return NextStep("No arm matched. See how the gap closes with rank:", shlex.join(more))
    return NextStep("Check the environment and the loss mask before training again:", "rankwise doctor")


def _train(arm: dict[str, Any], training: dict[str, Any], typed: dict[str, str]) -> list[str]:
    command = ["rankwise", "train", "--method", str(arm["method"])]
    for option, value in (("--rank", arm["rank"]), ("--alpha", arm["alpha"]), ("--placement", arm["placement"])):
        if value is not None and value != "":
            command += [option, value if isinstance(value, str) else wording.plain(value)]
    command += ["--lr", wording.learning_rate(arm["best_lr"])]
    command += ["--batch", str(arm.get("batch") or training["batch"]), "--steps", str(training["steps"])]
    return command + _flat({name: value for name, value in typed.items() if name != "--reference"})


def _folder(document: Document) -> str:
    """Where the study is: as typed, else where the command puts it."""
    words, study = _split(document["provenance"]["command"]), document["results"]["study"]
    for here, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = here.partition("=")
        if name == "--out":
            return value if equals else following
    file = next((word for word in words if word.endswith((".yaml", ".yml"))), None)
    return f"runs/{Path(file).stem}" if file else f"runs/{study['preset']}-{study['scale']}"


def _options(command: str) -> dict[str, str]:
    """What to repeat, as it was typed: the resolved names in the document may not be accepted back."""
    words = _split(command)
    found: dict[str, str] = {}
    for here, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = here.partition("=")
        if name in ("--model", "--data", "--columns", "--max-length", "--reference"):
            found[name] = value if equals else following
    return {name: value for name, value in found.items() if value}


def _best(results: dict[str, Any]) -> str:
    """The three methods of a survey that ended lowest."""
    methods = {arm["name"]: arm["method"] for arm in results["arms"] if not arm["reference"]}
    rows = [row for row in results["survey"]["arms"] if row["name"] in methods and row["nll"] is not None]
    return ",".join(methods[row["name"]] for row in sorted(rows, key=lambda row: row["nll"])[:3])


def _with_seeds(command: str, seeds: int) -> str:
    kept: list[str] = []
    words = iter(_split(command))
    for word in words:
        if word == "--seeds":
            next(words, None)
        elif not word.startswith("--seeds="):
            kept.append(word)
    return shlex.join([*(kept or ["rankwise", "study"]), "--seeds", str(seeds)])


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # an unbalanced quote in a recorded command: fall back to words
        return command.split()


def _flat(options: dict[str, str]) -> list[str]:
    return [word for pair in options.items() for word in pair]
