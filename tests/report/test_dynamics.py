"""The two figures of what happens inside a run: drawn from what events recorded, absent where nothing was."""

from __future__ import annotations

from rankwise.report.figures import figures

from .fixtures import documents
from .test_figures import rows


def moved():
    document = documents.quick()
    arms = document["results"]["arms"]
    update = {
        "layers": 14,
        "rank": {"mean": 8.0, "low": 6, "high": 10},
        "effective": {"mean": 5.5, "low": 4.0, "high": 7.0},
    }
    arms[2]["dynamics"] = {
        "events": [],
        "ranks": [
            {"step": 0, "layers": [16.0, 16.0]},
            {"step": 8, "layers": [16.0, 16.0]},
            {"step": 16, "layers": [4.0, 12.0]},
        ],
        "update": update,
    }
    arms[3]["dynamics"] = {"events": [], "ranks": [{"step": 0, "layers": [4.0, 4.0]}], "update": None}
    arms[4]["dynamics"] = {"events": [], "ranks": [{"step": 0, "layers": [2.0, 6.0]}], "update": update}
    return document


def test_without_dynamics_there_is_no_figure_of_it():
    assert not {figure.name for figure in figures(documents.quick())} & {"ranks", "update-ranks"}


def test_a_panel_shows_every_layer_from_change_to_change():
    drawn = {
        (r["note"].split(",")[0], r["layer"], r["from"], r["to"], r["rank"])
        for r in rows(moved(), "ranks")
        if "layer" in r
    }
    one, two = "LoRA r=16", "LoRA r=16"
    assert drawn == {
        (one, 1, 0, 16, 16.0),
        (one, 2, 0, 16, 16.0),
        (one, 1, 16, 24, 4.0),
        (one, 2, 16, 24, 12.0),
        (two, 1, 0, 24, 2.0),  # "LoRA r=16, attention only": uneven between layers, though it never changes
        (two, 2, 0, 24, 6.0),
    }


def test_a_long_record_is_thinned_with_its_ends_kept():
    from rankwise.report.figures.rank_over_time import POINTS, moments

    ranks = [{"step": step, "layers": [float(step)]} for step in range(100)]
    found = moments({"dynamics": {"ranks": ranks}})
    assert len(found) == POINTS
    assert (found[0]["step"], found[-1]["step"]) == (0, 99)


def test_effective_rank_stands_beside_rank():
    (row,) = [row for row in rows(moved(), "update-ranks") if row.get("arm") == "LoRA r=16"]
    assert (row["effective"], row["low"], row["high"], row["rank"]) == (5.5, 4.0, 7.0, 8.0)
    assert row["said"] == "5.5 of 8"
