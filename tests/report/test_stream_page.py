"""A stream's page leads with what can tell its strategies apart: exact match above its floor, else the NLL."""

import copy

import pytest

from rankwise.report.figures.stream import stream_figures
from rankwise.report.stream_page import NOTE, page, render, sentences
from rankwise.report.stream_tables import floor, leading


def interval(value):
    return {"estimate": value, "low": value - 0.01, "high": value + 0.01, "for_these_seeds": True}


def document(ap, learned=None, joint=None, commonest=None):
    """Two tasks, two strategies; the second one has these shares of right answers."""

    def strategy(label, ap, learned):
        nll = dict.fromkeys(("AP", "learned", "BWT", "forgetting", "FWT"), interval(-2.0))
        measures = {"exact_match": {**nll, "AP": interval(ap), "learned": interval(learned)}, "nll": nll}
        R = {"exact_match": [[0.0, 0.0], [learned, 0.0], [ap, ap]], "nll": [[3.0, 3.0], [2.0, 3.0], [2.0, 2.0]]}
        chain = {"order": ["a", "b"], "seed": 0, "R": R, "losses": [[], []], "penalties": [{}, {}], "events": [[], []]}
        chain |= {"budget_errors": [None, None]}
        own = {
            "label": label,
            "arxiv": "-",
            "formula": "",
            "answers": "one",
            "router": None,
            "growth": [],
            "chains": [chain],
        }
        return {
            **own,
            "measures": measures,
            "versus": None,
            "versus_joint": None,
            "bytes": 1,
            "flops": 1,
            "examples": 1,
        }

    tasks = [{"id": i, "data": i, "train": 8, "test": 8, "base": {"exact_match": 0.0, "nll": 3.0}} for i in ("a", "b")]
    if commonest is not None:
        tasks = [task | {"commonest": share} for task, share in zip(tasks, commonest, strict=True)]
    reference = None if joint is None else {"AP": {"exact_match": interval(joint), "nll": interval(-2.0)}}
    if reference:
        reference["R"] = {"exact_match": [[joint, joint]], "nll": [[2.0, 2.0]]}
    study = {"scale": "smoke", "orders": [], "seeds": [0], "lr": 1e-3, "rank_budget": None}
    names = ("rank", "alpha", "placement", "steps", "batch", "schedule", "warmup", "clip", "dtype", "event")
    study |= dict.fromkeys(names, None) | {"tasks": [{"id": task["id"]} for task in tasks]}
    found = {"study": study, "cell": {"model": "tiny", "notes": []}, "tasks": tasks, "joint": reference, "saved": []}
    found["strategies"] = [strategy("sequential", 0.0, 0.0), strategy("replay", ap, ap if learned is None else learned)]
    made = dict.fromkeys(("command", "rankwise", "commit", "torch", "cpu", "created"), "-")
    return {
        "results": {**found, "compared_with": "sequential", "faults": []},
        "cost": {"trained_seconds": 1.0},
        "provenance": made,
    }


@pytest.mark.parametrize(
    ("shares", "first"),
    [
        ({"ap": 0.0}, "nll"),
        ({"ap": 0.05}, "nll"),  # a handful of lucky answers
        ({"ap": 0.06}, "exact_match"),
        ({"ap": 0.0, "learned": 0.4}, "exact_match"),  # learned, and forgotten: that is the news
        ({"ap": 0.0, "joint": 0.4}, "exact_match"),
        ({"ap": 0.4, "commonest": (0.5, 0.3)}, "nll"),  # always giving one reply scores as much
        ({"ap": 0.5, "commonest": (0.5, 0.3)}, "exact_match"),
    ],
)
def test_what_leads(shares, first, capsys):
    from rich.console import Console

    found = document(**shares)
    other = {"nll": "exact_match", "exact_match": "nll"}[first]
    assert leading(found) == (first, other)
    said = sentences(found)
    assert ("Exact match is at the floor" in said[0]) == (first == "nll")
    what = {"nll": "minus NLL per token", "exact_match": "exact match over"}[first]
    assert all(what in line for line in said if line.startswith(("sequential:", "replay:")))
    assert [table.id for table in page(found).tables[:2]] == [first.replace("_", "-"), other.replace("_", "-")]
    titles = [figure.title for figure in stream_figures(found)]
    assert f"Each task's {'NLL per token' if first == 'nll' else 'exact match'} along the stream" in titles
    render(found, Console(width=200))
    shown = capsys.readouterr().out
    assert shown.index(NOTE[first][:30]) < shown.index(NOTE[other][:30])


def test_an_older_document_knows_no_commonest_reply():
    assert floor(document(0.0)) == 0.05
    assert floor(document(0.0, commonest=(0.5, 0.3))) == pytest.approx(0.4)
    assert leading(copy.deepcopy(document(0.2)))[0] == "exact_match"
