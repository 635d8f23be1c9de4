"""``analyze olora``: words that chance seldom brings, duels beyond a margin, and what is said beside them."""

import csv
import json
from math import comb

import pytest

from rankwise.analysis.measures.projection import Crossing
from rankwise.analysis.measures.wins import Count
from rankwise.analysis.olora.dimension import between, bracket_words, tried
from rankwise.analysis.olora.duels import beyond, duels, strictly
from rankwise.analysis.olora.rules import MANY, ahead, favored, needed, odds
from rankwise.analysis.olora.shown import panels, tables
from rankwise.analysis.olora.words import interpret, why
from rankwise.analysis.request import Request
from rankwise.cli.main import main

HOLDS, FAILS, OPEN = "holds here", "does not hold here", "undecided"


@pytest.mark.parametrize(
    ("count", "word"),
    [
        (Count(53, 7, 0), HOLDS),  # the paper's own
        (Count(6, 0, 0), HOLDS),
        (Count(6, 0, 5), HOLDS),
        (Count(0, 6, 0), FAILS),
        (Count(0, 6, 20), FAILS),
        (Count(5, 1, 0), OPEN),
        (Count(5, 0, 1), OPEN),  # a tie is nobody's
        (Count(4, 2, 0), OPEN),  # the strict share of 2/3 that chance brings often
        (Count(1, 3, 0), OPEN),
        (Count(6, 0, 6), OPEN),  # never behind, but not ahead in most
        (Count(0, 0, 6), OPEN),
        (Count(), OPEN),
    ],
)
def test_the_word_needs_an_unlikely_outcome(count, word):
    assert ahead(count) == word


@pytest.mark.parametrize("duels_", range(1, 40))
def test_chance_alone_seldom_brings_a_word(duels_):
    words = {wins: ahead(Count(wins, duels_ - wins)) for wins in range(duels_ + 1)}
    chance = sum(comb(duels_, wins) / 2**duels_ for wins, word in words.items() if word != OPEN)
    assert chance <= 0.05
    assert (set(words.values()) == {HOLDS, FAILS, OPEN}) == (duels_ >= 6)


def test_how_many_duels_would_decide():
    assert needed(Count(3, 0, 0)) == 6
    assert needed(Count(2, 1, 0)) == 42
    assert needed(Count(1, 2, 0)) == 42, "as many for either side"
    assert needed(Count(3, 3, 0)) is None
    assert needed(Count(2, 1, 3)) is None, "ahead in a third is not ahead in most"
    for count in (Count(2, 1, 0), Count(3, 0, 1), Count(2, 3, 1)):
        n = needed(count)
        share = (count.wins * n / count.cells, count.losses * n / count.cells)
        assert ahead(Count(round(share[0]), round(share[1]), n - round(share[0]) - round(share[1]))) != OPEN
    assert "an even split" in odds(Count(2, 2, 0))
    assert "at most half" in odds(Count(2, 1, 3))
    assert "so small a lead" in odds(Count(MANY // 2 + 1, MANY // 2, 0))
    assert odds(Count(6, 0, 0)) == "sign test: p = 0.031"
    with pytest.raises(ValueError, match="shares"):
        needed(Count())


def _arm(name, method, curves):
    rates = [
        {"lr": lr, "status": "done", "selection_nll": min(nll for _, nll in curve), "curve": curve}
        for lr, curve in curves.items()
    ]
    rank = int(name.rsplit("-r", 1)[1])
    return {"name": name, "method": method, "rank": rank, "learning_rates": rates, "bracketed": True}


def _study(pairs, base=2.0, search="grid", rates=((1e-4,), (1e-4,))):
    """Cells with the curves of OLoRA and LoRA at one rank; both curves are scored every two steps."""
    cells = {}
    for number, (olora, lora) in enumerate(pairs):
        arms = [
            _arm(f"{name}-r4", name, {lr: [[2 * (k + 1), nll] for k, nll in enumerate(curve)] for lr in tried})
            for name, curve, tried in (("olora", olora, rates[0]), ("lora", lora, rates[1]))
        ]
        cells[f"c{number}"] = {
            "cell": {"model": "m", "data": f"d{number}"},
            "base": {"selection_nll": base},
            "search": {"kind": search},
            "training": {"steps": 4},
            "arms": arms,
        }
    return cells


def test_a_lead_within_the_margin_counts_in_the_strict_table_only():
    found = duels(_study([([1.5, 1.0], [1.5, 1.015]), ([1.5, 1.0], [1.5, 1.025]), ([1.5, 1.025], [1.5, 1.0])]))
    assert strictly(found, "own") == Count(2, 1, 0)
    assert beyond(found, "own") == Count(1, 1, 1), "2 % of a gain of 1.0"
    assert strictly(found, "shared") == Count(2, 1, 0)
    assert beyond(found, "shared") == Count(1, 1, 1)


def test_faster_is_read_at_ninety_percent_of_loras_gain_between_the_scored_steps():
    lora = [1.5, 1.0]  # 90 % of its gain is 1.1, at step 3.6
    pairs = [([1.0, 1.0], lora), ([1.4, 1.0], lora), ([1.8, 1.2], lora), ([1.5, 1.0], lora), ([1.1, 1.3], lora)]
    found = duels(_study(pairs))
    assert [d.steps[1] for d in found] == pytest.approx([3.6] * 5)
    assert [d.steps[0] for d in found if d.steps[0]] == pytest.approx([1.8, 3.5, 3.6, 2.0])
    assert found[2].steps[0] is None
    assert {d.spacing for d in found} == {2.0}
    assert strictly(found, "steps") == Count(3, 1, 1), "OLoRA is sooner although LoRA's best is never beaten"
    assert beyond(found, "steps") == Count(2, 1, 2), "a tenth of a step between two scores is nobody's"
    (lost,) = duels(_study([([1.5, 1.0], [2.5, 2.1])]))
    assert lost.losses("steps") is None, "LoRA gained nothing: there is no 90 % of it"
    assert beyond([lost], "steps").cells == 0


@pytest.mark.parametrize("edge", ["olora-r4", "lora-r4"])
def test_a_duel_with_a_best_rate_at_the_edge_of_its_grid_has_no_verdict(edge):
    cells = _study([([1.0, 1.0], [1.5, 1.5])] * 7)
    for name in ("c0", "c1"):
        next(arm for arm in cells[name]["arms"] if arm["name"] == edge)["bracketed"] = False
    found = duels(cells)
    assert [beyond(found, kind).cells for kind in ("own", "steps", "shared")] == [5, 5, 7]
    assert strictly(found, "own") == Count(7, 0, 0), "a count, as the paper has it, and no word"
    assert (ahead(beyond(found, "own")), ahead(beyond(duels(_study([([1.0], [1.5])] * 7)), "own"))) == (OPEN, HOLDS)
    assert why(found).endswith("No verdict on 2 of 7 duels: a best rate is at the edge of its grid.")
    assert "No verdict" not in why(found[2:])
    assert "in 1 of these 3 a best rate" in favored({"olora": [1.0, 1.0, 1.0]}, 3, edges=1)


@pytest.mark.parametrize(
    ("pairs", "word", "faster"),
    [
        ([([1.0, 0.9], [1.5, 1.0])] * 6, HOLDS, HOLDS),
        ([([1.9, 1.5], [1.5, 1.0])] * 6, FAILS, FAILS),
        ([([1.0, 0.9], [1.5, 1.0]), ([1.9, 1.5], [1.5, 1.0])] * 3, OPEN, OPEN),
        ([([1.5, 1.0], [1.5, 1.0])] * 6, OPEN, OPEN),
    ],
)
def test_both_words_come_out_all_three_ways(pairs, word, faster):
    found = duels(_study(pairs))
    assert ahead(beyond(found, "own")) == word
    assert f"Faster: {faster};" in why(found)


def test_the_shared_rate_is_told_by_data_set_and_where_it_lies_in_each_grid():
    pairs = [([1.0, 0.9], [1.5, 1.4]), ([1.6, 1.5], [1.5, 1.4])]
    cells = _study(pairs, rates=((3e-5, 1e-4, 3e-4), (3e-4, 1e-3)))
    found = duels(cells)
    told = interpret(cells, found, found, None)
    assert "it is +0.200; by data set: c0 +0.500; c1 -0.100." in told
    assert "Of 2 duels the shared rate is the lowest that LoRA tried in 2 and the highest that OLoRA tried in 2" in told
    assert "stopped poor rates" not in told, "a grid stops nothing"
    by_data = next(t for t in tables(found, found) if "by data set" in t.title)
    assert [row[0] for row in by_data.rows] == ["c0", "c1"]
    assert [row[2] for row in by_data.rows] == pytest.approx([0.5, -0.1])
    assert {row[3] for row in by_data.rows} == {"0.0003"}
    drawn = panels(found, found)[1].rows
    assert [row["lead"] for row in drawn if row["rate"] == "one shared rate"] == pytest.approx([0.5, -0.1])
    inside = _study(pairs, search="halving", rates=((3e-5, 1e-4, 3e-4), (3e-5, 1e-4, 3e-4)))
    for cell in inside.values():  # both went furthest at the middle rate
        for arm in cell["arms"]:
            for run in (arm["learning_rates"][0], arm["learning_rates"][2]):
                run["curve"] = run["curve"][:1]
    found = duels(inside)
    told = interpret(inside, found, found, None)
    assert "the shared rate is" not in told
    assert "stopped poor rates" in told


def test_a_table_of_scores_comes_out_all_three_ways(tmp_path, capsys):
    for wins, word in ((6, HOLDS), (0, FAILS), (3, OPEN)):
        path = tmp_path / f"{wins}.csv"
        with path.open("w", newline="") as file:
            rows = [
                ("m", t, 32, k, s) for t in range(6) for k, s in (("LoRA", 0.5), ("OLoRA", 0.6 - 0.2 * (t >= wins)))
            ]
            csv.writer(file).writerows([("model", "task", "rank", "method", "score"), *rows])
        assert main(["analyze", "olora", "--study", str(path), "--out", str(tmp_path / "f"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["word"] == word


@pytest.mark.parametrize(
    ("bracket", "words"),
    [((8192, None), "> 8192"), ((None, 32), "<= 32"), ((32, 512), "32 to 512"), ((None, None), "gained nothing")],
)
def test_a_bracket_is_shown_as_measured(bracket, words):
    assert words in bracket_words(*bracket)


def test_dimensions_reach_two_percent_of_the_weights_and_a_bound_is_no_value():
    assert tried(Request(), 13_271_040) == (8192, 132_710, 265_421)
    assert tried(Request(scale="smoke"), 12_288) == (16, 122, 246)
    assert tried(Request(dimensions=(4, 8)), 12_288) == (4, 8)
    assert between(Crossing(200.0, (100, 400))) == 200.0
    assert between(Crossing(100.0, (None, 100))) is None
    assert between(Crossing(None, (400, None))) is None


def test_lead_and_dimension_are_correlated_beside_what_chance_brings():
    cells = _study([([1.0, 0.9], [1.5, 1.4])] * 3)
    found = duels(cells)
    rows = [
        {"cell": f"c{k}", "d90": d90, "bracket": "", "ahead": lead} for k, d90, lead in ((0, 1e3, 0.1), (1, 2e3, 0.2))
    ]
    assert "no correlation" in interpret(cells, found, found, rows)
    rows.append({"cell": "c2", "d90": 3e3, "bracket": "", "ahead": 0.3})
    assert "correlate at +1.00 over 3 cells (by chance alone beyond 0.997 in" in interpret(cells, found, found, rows)
