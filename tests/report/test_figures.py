"""What the figures draw: the rows behind the marks, and the colors that dark mode can swap."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rankwise.report.figures import figures
from rankwise.report.figures.theme import SHADES, WIDE

from .fixtures import documents


def rows(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """All data rows of one figure."""
    figure = next(figure for figure in figures(document) if figure.name == name)
    found: list[dict[str, Any]] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            found.extend(node.get("values", []) if all(isinstance(v, dict) for v in node.get("values", [])) else [])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    spec = figure.chart(WIDE).to_dict()
    walk({key: value for key, value in spec.items() if key != "datasets"})
    return found + [row for values in spec.get("datasets", {}).values() for row in values]


def test_every_curve_starts_at_the_untouched_model() -> None:
    drawn = [row for row in rows(documents.quick(), "steps") if row.get("step") == 0]
    assert {row["arm"] for row in drawn} == {row[1] for row in documents.QUICK_ARMS}
    assert [row["nll"] for row in drawn] == pytest.approx([documents.BASE] * len(drawn), abs=1e-12)


def test_fresh_curve_is_the_mean_over_seeds() -> None:
    drawn = {
        (row["arm"], row["step"], round(row["nll"], 6)) for row in rows(documents.quick(), "steps") if "step" in row
    }
    scores = (0.924, 0.931, 0.928)
    assert ("LoRA r=16", 24, round(sum(score - 0.008 for score in scores) / 3, 6)) in drawn


def test_a_seed_that_diverged_is_not_averaged() -> None:
    document = documents.quick()
    document["results"]["arms"][2]["fresh"][0] |= {"status": "diverged", "curve": [[8, 900.0], [16, None]]}
    drawn = {(row["arm"], row["step"], round(row["nll"], 6)) for row in rows(document, "steps") if "step" in row}
    assert ("LoRA r=16", 24, round((0.931 + 0.928) / 2 - 0.008, 6)) in drawn


def test_diverged_and_worse_than_untouched_stand_at_the_top_edge() -> None:
    drawn = rows(documents.gone_wrong(), "learning-rates")
    lost = [row for row in drawn if "slot" in row]
    assert sorted((row["arm"], row["note"].split(": ")[1]) for row in lost) == [
        ("LoRA r=1", "diverged"),
        ("LoRA r=16, MLP only", "diverged"),
        ("LoRA r=16, attention only", "NLL 7.310, worse than the untouched model"),
        ("LoRA r=64", "diverged"),
    ]
    highest = max(row["nll"] for row in drawn if "best" in row)
    assert all(highest < row["nll"] < documents.BASE for row in lost)
    assert len({(row["lr"], row["slot"]) for row in lost}) == 4  # side by side, none hidden


def test_best_learning_rates_are_ringed() -> None:
    ringed = {(row["arm"], row["lr"]) for row in rows(documents.quick(), "learning-rates") if row.get("best")}
    assert ringed == {(row[1], row[8]) for row in documents.QUICK_ARMS}


def test_recovery_outside_the_frame_is_cut_and_marked() -> None:
    document = documents.quick()
    document["results"]["arms"][6]["recovery"] = {"estimate": 0.4, "low": -9.0, "high": 9.8}
    row = next(row for row in rows(document, "recovery") if row.get("arm") == "OLoRA r=16")
    assert (row["low"], row["high"], row["cut"]) == (-0.5, 1.6, "◄ ►")
    assert "-900.0 to 980.0%" in row["note"]


def test_pareto_marks_screened_arms_and_keeps_them_off_the_frontier() -> None:
    drawn = [row for row in rows(documents.quick(), "pareto") if "cost" in row]
    fresh = {row["arm"] for row in drawn if row["fresh"]}
    assert fresh == {"full fine-tuning", "LoRA r=16", "OLoRA r=16"}
    hollow = {row["arm"]: row["recovery"] for row in drawn if not row["fresh"]}
    base, full = documents.BASE, documents.quick()["results"]["arms"][0]["learning_rates"][1]["selection_nll"]
    own = documents.quick()["results"]["arms"][1]["learning_rates"][1]["selection_nll"]
    assert hollow["LoRA r=1"] == pytest.approx((base - own) / (base - full), abs=1e-12)


def pictures(html: str) -> dict[str, str]:
    """Figure name -> its markup in the page, laptop and phone together."""
    return dict(re.findall(r'<figure class="card" id="([^"]+)">(.*?)</figure>', html, re.DOTALL))


def test_every_color_has_a_dark_partner(written: Any) -> None:
    _, html, _ = written["gone_wrong"]
    drawn = pictures(html)
    assert len(drawn) == 5
    for name, svg in drawn.items():
        used = set(re.findall(r'(?:fill|stroke)="([^"]+)"', svg))
        assert used <= {shade.light for shade in SHADES} | {"none", "transparent"}, (name, used)
        assert len(used) > 5
    for shade in SHADES:
        assert f'.chart [fill="{shade.light}"]{{fill:{shade.dark}}}' in html


def test_marks_have_tooltips_and_arms_keep_their_color(written: Any) -> None:
    drawn = pictures(written["quick"][1])
    assert "<title>LoRA r=16, learning rate 3e-3: NLL 0.921</title>" in drawn["learning-rates"]
    for svg in drawn.values():
        assert "<title>" in svg
        assert re.search(r'<path[^>]*"#c2570c"[^>]*>(?=<title>LoRA r=16[,: ])', svg)


def test_two_arms_with_one_label_stay_apart() -> None:
    document = documents.quick()
    for arm in document["results"]["arms"][1:4]:
        arm["label"] = "LoRA"
    drawn = {row["arm"] for row in rows(document, "learning-rates") if "arm" in row}
    assert {"LoRA (lora-r1)", "LoRA (lora-r16)", "LoRA (lora-r64)"} <= drawn
