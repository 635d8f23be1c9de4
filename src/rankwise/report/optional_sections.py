"""Parts of a document that not every study has: answers, rules of thumb, the price of the search. Absent is empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rankwise.report import wording
from rankwise.report.view import Document, arms, labels


@dataclass(frozen=True)
class AnswerRow:
    """One arm's exact match in words."""

    label: str
    accuracy: str
    per_seed: str
    ahead: str
    behind: str
    p: str
    sentence: str


@dataclass(frozen=True)
class Answers:
    """Exact match of a study: how many questions, the untouched model, one row per arm, and what to know."""

    questions: int
    base: str
    chance: str
    rows: list[AnswerRow]
    note: str


@dataclass(frozen=True)
class SearchPrice:
    """What the search cost beside the full grid, and what it stopped early."""

    sentence: str
    rungs: str
    stopped: list[tuple[str, str, str, str]]


def answers(document: Document) -> Answers | None:
    """The exact match section, or None when the study did not ask for it."""
    found = document["results"].get("exact_match")
    if not found:
        return None
    names = labels(arms(document))
    rows = [
        AnswerRow(
            label=names.get(row["arm"], row["arm"]),
            accuracy=wording.percent(row["accuracy"]),
            per_seed=", ".join(wording.percent(share) for share in row["per_seed"]),
            ahead=wording.count(row["only_arm"]),
            behind=wording.count(row["only_reference"]),
            p=f"{row['p']:.2g}" if wording.finite(row["p"]) else wording.MISSING,
            sentence=row["sentence"],
        )
        for row in found["arms"]
    ]
    base, chance = wording.percent(found["base"]), wording.percent(found["chance"])
    return Answers(found["questions"], base, chance, rows, found["note"] or "")


def rules(document: Document) -> list[tuple[str, bool]]:
    """(sentence, whether there was enough data) of every rule of thumb, supported ones first."""
    found = document["results"].get("rules") or []
    return sorted(((rule["sentence"], bool(rule["enough"])) for rule in found), key=lambda rule: not rule[1])


def search_price(document: Document) -> SearchPrice | None:
    """The appendix on the search, or None for a document without it."""
    found = document["results"].get("search")
    if not found:
        return None
    spent, whole = found.get("examples_spent"), found.get("examples_full_grid")
    sentence = f"Search: {str(found.get('kind', 'grid')).replace('_', ' ').replace('-', ' ')}."
    if spent and whole is not None:
        sentence += (
            f" It trained on {wording.count(spent)} examples; the full grid would take {wording.count(whole)}"
            f" ({whole / spent:.1f} times as many)."
        )
    names = labels(arms(document))
    stopped = [
        (
            names.get(s["arm"], s["arm"]),
            wording.learning_rate(s["lr"]),
            wording.count(s["step"]),
            str(s["reason"] or ""),
        )
        for s in found.get("stopped") or []
    ]
    return SearchPrice(sentence, _rungs(found.get("rungs")), stopped)


def _rungs(rungs: Any) -> str:
    """Steps at which runs were compared; a list of numbers, or of mappings that name their ``step``."""
    steps = [rung.get("step") if isinstance(rung, dict) else rung for rung in rungs or []]
    return ", ".join(wording.count(step) for step in steps if wording.finite(step))
