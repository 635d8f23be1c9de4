"""What only some documents have: fits, the search's price, right answers, rules of thumb. Older ones render as ever."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from rich.console import Console

from rankwise.report import render_table, write_report
from rankwise.report.figures import figures
from rankwise.report.figures.learning_rates import learning_rate_figure
from rankwise.report.figures.pareto import pareto_figure
from rankwise.report.figures.theme import WIDE

from .conftest import Page
from .fixtures import documents


def full(text: str = "") -> dict[str, Any]:
    """A quick study with every optional part; ``text`` is put wherever data could."""
    document = documents.quick()
    results = document["results"]
    lora = results["arms"][2]
    # nll = 0.9 + 0.3 (u - log10(2.5e-3))**2 in u = log10 lr
    u = -2.6020599913279625
    lora["fit"] = {"lr": 2.5e-3, "nll": 0.9, "coefficients": [0.9 + 0.3 * u * u, -0.6 * u, 0.3]}
    results["arms"][1]["fit"] = None
    results["exact_match"] = {
        "questions": 48, "base": 0.0417, "chance": 0.0625, "floor": False, "note": text or None,
        "arms": [
            {"arm": "full", "accuracy": 0.652, "per_seed": [0.625, 0.679], "only_arm": None, "only_reference": None,
             "p": None, "sentence": f"Full fine-tuning answers 65.2 % of 48 questions.{text}"},
            {"arm": "lora-r16", "accuracy": 0.604, "per_seed": [0.583, 0.625], "only_arm": 3, "only_reference": 5,
             "p": 0.7266, "sentence": "LoRA r=16 answers 60.4 % of 48 questions."},
        ],
    }  # fmt: skip
    results["rules"] = [
        {"rule": "rank-saturation", "sentence": f"Not enough data to say which rank.{text}", "enough": False,
         "evidence": {}},
        {"rule": "learning-rate-ratio", "sentence": f"LoRA's best learning rate was 10 times.{text}", "enough": True,
         "evidence": {"ratio": 10.0}},
    ]  # fmt: skip
    results["search"] = {
        "kind": "halving", "examples_spent": 1200, "examples_full_grid": 4800, "rungs": [8, {"step": 16}],
        "stopped": [{"arm": "lora-r64", "lr": 1e-2, "step": 8, "reason": f"worse than half{text}"}],
    }  # fmt: skip
    return document


def terminal(document: dict[str, Any]) -> list[str]:
    console = Console(file=io.StringIO(), width=400)
    render_table(document, console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(write_report(full(), tmp_path_factory.mktemp("full")).read_text(encoding="utf-8"))


def test_the_page_has_every_part(page: Page) -> None:
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert {"answers", "rules", "search"} <= ids
    text = " ".join(page.text.split())
    for expected in (
        "The untouched model gets 4.2% right; always giving the commonest answer would get 6.2%.",
        "LoRA r=16 60% 58%, 62% 3 5 0.73",
        "It trained on 1,200 examples; the full grid would take 4,800 (4.0 times as many).",
        "Runs were compared at steps 8, 16.",
        "1 run stopped early",
    ):
        assert expected in text, expected
    assert text.index("10 times.") < text.index("Not enough data to say which rank.")


def test_the_terminal_says_each_arms_sentence_once() -> None:
    lines = terminal(full())
    assert "OLoRA r=16 recovers 97.0% of the gain; the interval crosses the margin." in lines
    assert any(
        line.startswith("Screened on one seed only, so without a verdict: LoRA r=1, LoRA r=64") for line in lines
    )
    assert "Rule of thumb: LoRA's best learning rate was 10 times." in lines
    assert not any("Not enough data" in line for line in lines)
    assert "LoRA r=16 answers 60.4 % of 48 questions." in lines
    assert any("do not extrapolate" in line for line in lines)
    document = full()
    document["results"]["verdict"]["headline"] = document["results"]["arms"][2]["verdict"]["sentence"]
    assert sum("recovers 98.6%" in line for line in terminal(document)) == 1
    arm = document["results"]["arms"][6]
    arm["verdict"]["sentence"] = f"Undecided. If the estimate stays, it would take {arm['verdict']['needs']}."
    assert sum("about 6 more seeds" in line for line in terminal(document)) == 1


def test_markup_in_them_is_shown_not_obeyed(tmp_path: Any) -> None:
    attack = "<script>alert(1)</script>[bold red]\x1b[31m"
    html = write_report(full(attack), tmp_path).read_text(encoding="utf-8")
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") >= 5
    text = "\n".join(terminal(full(attack)))
    assert "[bold red]" in text
    assert "\x1b[31m" not in text


def marks(spec: Any, shape: str) -> list[Any]:
    return [layer for layer in spec["layer"] if isinstance(layer["mark"], dict) and layer["mark"].get("shape") == shape]


def test_the_fitted_parabola_goes_through_its_minimum() -> None:
    figure = learning_rate_figure(full())
    assert figure is not None
    assert "parabola" in figure.caption
    spec = figure.chart(WIDE).to_dict()
    (plus,) = marks(spec, "M-1,0L1,0M0,-1L0,1")
    assert plus["data"]["values"][0]["lr"] == 2.5e-3
    (dotted,) = [x for x in spec["layer"] if x["mark"].get("strokeDash") == [2, 2]]
    points = dotted["data"]["values"]
    assert points[0]["lr"] == pytest.approx(1e-3)
    assert points[-1]["lr"] == pytest.approx(1e-2)
    assert min(point["nll"] for point in points) == pytest.approx(0.9, abs=1e-3)
    early = full()
    early["results"]["arms"][2]["fit"]["step"] = 8  # of 24: scores were higher there; the curve goes to the best value
    moved = learning_rate_figure(early)
    assert moved is not None
    (plus,) = marks(moved.chart(WIDE).to_dict(), "M-1,0L1,0M0,-1L0,1")
    above = 0.3 * (math.log10(3e-3) - math.log10(2.5e-3)) ** 2
    assert plus["data"]["values"][0]["nll"] == pytest.approx(0.921 - above, abs=1e-6)
    assert "at step 8" in plus["data"]["values"][0]["note"]
    plain = learning_rate_figure(documents.quick())
    assert plain is not None
    assert "parabola" not in plain.caption


@pytest.mark.parametrize("fit", [{"lr": 1e-3, "nll": 1.0, "coefficients": [1.0, 0.0, -0.3]},
                                 {"lr": 1e-3, "nll": None, "coefficients": [1.0, 0.0, 0.3]}])  # fmt: skip
def test_a_fit_that_has_no_minimum_is_not_drawn(fit: dict[str, Any]) -> None:
    document = documents.quick()
    document["results"]["arms"][2]["fit"] = fit
    figure = learning_rate_figure(document)
    assert figure is not None
    assert "parabola" not in figure.caption


def test_pareto_marks_the_recommended_arm_by_the_cost_it_was_chosen_by() -> None:
    document = documents.quick()
    document["results"]["verdict"]["cheapest_by"] = "memory"
    figure = pareto_figure(document)
    assert figure is not None
    assert "the cheapest by peak memory" in figure.caption
    spec = figure.chart(WIDE).to_dict()
    ring = [x for x in marks(spec, "circle") if x["mark"].get("size") == 420]
    assert [row["name"] for row in ring[0]["data"]["values"]] == ["lora-r16"]
    assert ring[0]["data"]["values"][0]["cost"] == pytest.approx(0.309)
    older = pareto_figure(documents.quick())
    assert older is not None
    assert "training FLOPs" in older.caption
    assert len(figures(full())) == len(figures(documents.quick()))
