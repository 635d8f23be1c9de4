"""A survey in words: every method's NLL at its last step beside the untouched model's. Absent is empty."""

from __future__ import annotations

from rankwise.report import wording
from rankwise.report.view import Document, arms, labels

HEADER = ("method", "ends", "NLL", "change", "best LR", "trained", "training time")


def rows(document: Document) -> list[tuple[str, ...]]:
    """One row for each method, the lowest NLL first; empty when the study is none."""
    found = document["results"].get("survey")
    if not found:
        return []
    names, costs, base = labels(arms(document)), document["cost"]["arms"], found["base_nll"]
    trained = {arm["name"]: arm["trainable"] for arm in document["results"]["arms"]}
    last = float("inf")
    return [
        (
            names.get(row["name"], row["name"]),
            "below the base" if row["below"] else "above the base" if row["nll"] is not None else "no run finished",
            wording.nll(row["nll"]),
            wording.MISSING if row["nll"] is None else f"{row['nll'] - base:+.3f}",
            wording.learning_rate(row["lr"]),
            wording.short_count(trained.get(row["name"])),
            wording.duration(costs.get(row["name"], {}).get("search_seconds")),
        )
        for row in sorted(found["arms"], key=lambda row: last if row["nll"] is None else row["nll"])
    ]


def sentence(document: Document) -> str:
    """How much was trained, in what time, with what faults; empty when the study is no survey."""
    results, cost = document["results"], document["cost"]
    if not results.get("survey"):
        return ""
    faults = len(results["faults"])
    said = "no faults" if not faults else f"{faults} fault{'s' if faults > 1 else ''}"
    return (
        f"Untouched model: {wording.nll(results['survey']['base_nll'])}. {cost['runs']} runs of "
        f"{results['training']['steps']} steps in {wording.duration(cost['study_seconds'])}, {said}."
    )


def left_out(document: Document) -> list[str]:
    """The methods that this model cannot carry, with the reason."""
    found = document["results"].get("survey")
    return [f"Left out: {method}: {reason}" for method, reason in found["left_out"].items()] if found else []
