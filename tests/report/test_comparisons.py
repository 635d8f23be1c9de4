"""The figures of the batch-size and placement presets: what they draw, when, and what their captions admit."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rankwise.report.figures import figures
from rankwise.report.figures.base import Figure, styles
from rankwise.report.figures.placement import placement_groups
from rankwise.report.figures.theme import NARROW, SHADES, SOLID, WIDE
from rankwise.report.svg import draw
from rankwise.report.view import arms, batch_families, family_label, labels

from .fixtures import comparisons, documents
from .test_figures import rows


def figure(document: dict[str, Any], name: str) -> Figure | None:
    """One figure of a document, or None when it is not drawn."""
    return next((figure for figure in figures(document) if figure.name == name), None)


def caption(document: dict[str, Any], name: str) -> str:
    found = figure(document, name)
    assert found is not None
    return found.caption


def test_examples_seen_are_steps_times_the_arms_own_batch() -> None:
    drawn = rows(comparisons.batch_sizes(), "batch-size")
    batch = {label: size for _, label, size, _ in comparisons.BATCHES}
    batch |= {"Full fine-tuning, batch 8": 8, "LoRA r=16, batch 8": 8}
    at_steps = {(r["arm"], r["step"] * batch[r["arm"]], r["nll"]) for r in drawn if "step" in r}
    at_examples = {(r["arm"], r["examples"], r["nll"]) for r in drawn if "examples" in r and "arm" in r}
    assert at_steps == at_examples
    assert {last for arm, last, _ in at_examples if arm == "LoRA r=16, batch 16"} == {0, 128, 256, 384}


def test_the_line_that_all_batches_reach_is_the_smallest_batchs_end() -> None:
    drawn = rows(comparisons.batch_sizes(), "batch-size")
    assert {r["examples"] for r in drawn if "examples" in r and "arm" not in r} == {4 * 24}


def test_final_nll_against_batch_size_is_one_line_per_recipe() -> None:
    drawn = [r for r in rows(comparisons.batch_sizes(), "batch-size") if "batch" in r]
    ends = {(r["arm"].split(",")[0], r["batch"]): r["nll"] for r in drawn}
    expected = {(label.split(",")[0], batch): best for _, label, batch, best in comparisons.BATCHES}
    assert ends == pytest.approx(expected, abs=1e-12)


def test_the_caption_names_the_confound_and_the_gaps() -> None:
    said = caption(comparisons.batch_sizes(), "batch-size")
    assert "at the same step, batch 16 has seen 4 times the examples of batch 4" in said
    gaps = "+0.007 at batch 4, +0.019 at batch 8, +0.035 at batch 16"
    assert f"LoRA r=16 against full fine-tuning, in nats: {gaps}." in said
    assert "empirical lower bound" in said
    assert "a larger batch has seen more examples" in caption(comparisons.batch_sizes(), "steps")
    assert "batch" not in caption(documents.quick(), "steps")


def test_a_missing_batch_is_the_trainings() -> None:
    document = comparisons.batch_sizes()
    for arm in document["results"]["arms"]:
        if arm["batch"] == 8:
            del arm["batch"]
    assert rows(document, "batch-size") == rows(comparisons.batch_sizes(), "batch-size")
    assert {arm["batch"] for arm in arms(documents.quick())} == {8}


def test_without_a_second_batch_size_there_is_no_such_figure() -> None:
    assert figure(documents.quick(), "batch-size") is None
    document = comparisons.batch_sizes()
    document["results"]["arms"] = [document["results"]["arms"][index] for index in (0, 5)]  # batch 8 and 16, unlike
    assert figure(document, "batch-size") is None
    document = comparisons.batch_sizes()
    for arm in document["results"]["arms"][1:3] + document["results"]["arms"][4:]:
        arm["best_of_sweep"] = []
    assert figure(document, "batch-size") is None


def test_one_recipe_is_one_color_and_one_batch_is_one_mark() -> None:
    found = arms(comparisons.batch_sizes())
    style = styles(found)
    for family in batch_families(found):
        assert [arm["batch"] for arm in family] == [4, 8, 16]
        assert len({style.color[arm["name"]] for arm in family}) == 1
        assert style.dash[family[-1]["name"]] == SOLID
    assert len(set(style.color.values())) == 2
    marks = {(arm["batch"], style.shape[arm["name"]], tuple(style.dash[arm["name"]])) for arm in found}
    assert len(marks) == 3
    assert len({(style.color[a["name"]], style.shape[a["name"]]) for a in found}) == 6
    assert [family_label(family) for family in batch_families(found)] == ["Full fine-tuning", "LoRA r=16"]


def test_arms_without_kin_keep_label_and_solid_line() -> None:
    found = arms(documents.quick())
    assert list(labels(found).values()) == [row[1] for row in documents.QUICK_ARMS]
    assert set(map(tuple, styles(found).dash.values())) == {tuple(SOLID)}


def test_placements_are_grouped_by_rank_and_by_matched_size() -> None:
    groups = placement_groups(arms(comparisons.placements()))
    assert [(group.title, sorted(arm["name"] for arm in group.arms)) for group in groups] == [
        ("Same rank", ["lora-r16", "lora-r16-attention", "lora-r16-mlp"]),
        ("Matched parameters", ["lora-r16-mlp", "lora-r48-attention"]),
    ]


@pytest.mark.parametrize(("count", "matched"), [(3_345_407, True), (3_345_409, False)])
def test_matched_means_within_ten_percent(count: int, matched: bool) -> None:
    document = comparisons.placements()
    document["results"]["arms"][3]["trainable"] = count  # beside 3,041,280 at attention
    found = {group.title for group in placement_groups(arms(document))}
    assert ("Matched parameters" in found) is matched
    said = caption(document, "placement")
    assert ("takes that advantage away" in said) is matched
    assert ("size and place are mixed" in said) is not matched


def test_size_alone_makes_no_placement_figure() -> None:
    document = documents.quick()
    other = document["results"]["arms"]
    document["results"]["arms"] = [other[0], other[2], other[6]]  # LoRA and OLoRA: one placement, one size
    assert figure(document, "placement") is None
    assert figure(comparisons.batch_sizes(), "placement") is None


def test_another_batch_or_method_is_never_the_same_group() -> None:
    document = comparisons.placements()
    for arm, batch in zip(document["results"]["arms"][1:], (8, 16, 32, 64), strict=True):
        arm["batch"] = batch
    assert placement_groups(arms(document)) == []


def test_final_nll_stands_against_trainable_parameters() -> None:
    drawn = {
        (r["arm"], r["trainable"], r["nll"])
        for r in rows(comparisons.placements(), "placement")
        if "trainable" in r and "arm" in r
    }
    assert drawn == {(label, count, best) for _, label, _, _, count, best in comparisons.PLACEMENTS}


@pytest.mark.parametrize(("kind", "name"), [("batch_sizes", "batch-size"), ("placements", "placement")])
@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=["laptop", "phone"])
def test_new_figures_fit_and_have_dark_partners(kind: str, name: str, layout: Any) -> None:
    found = figure(getattr(comparisons, kind)(), name)
    assert found is not None
    svg = draw(found.chart(layout))
    used = set(re.findall(r'(?:fill|stroke)="([^"]+)"', svg))
    assert used <= {shade.light for shade in SHADES} | {"none", "transparent"}
    width = float(re.search(r'<svg[^>]*? width="([\d.]+)"', svg)[1])  # type: ignore[index]
    assert width < (360 if layout is NARROW else 1080)
