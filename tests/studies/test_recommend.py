"""The cheapest arm depends on what cheap means; every choice acts and is named."""

from types import SimpleNamespace

import pytest

from rankwise.errors import UsageError
from rankwise.ledger.folder import StudyFolder
from rankwise.stats.margin import Margin
from rankwise.studies.config import GROWABLE, default_settings
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.results.recommend import recommend
from rankwise.studies.search.finalists import Screened, choose_finalists

ARMS = ("lora-r1", "lora-r4", "lora-r16")
# each arm is cheapest by something else
FLOPS = {"lora-r1": 30, "lora-r4": 20, "lora-r16": 10}
TRAINABLE = {"lora-r1": 1, "lora-r4": 4, "lora-r16": 16}
COSTS = {
    "lora-r1": {"peak_memory_bytes": 300, "seconds_per_step": 2.0, "adapter_bytes": 4},
    "lora-r4": {"peak_memory_bytes": 100, "seconds_per_step": 3.0, "adapter_bytes": 16},
    "lora-r16": {"peak_memory_bytes": 200, "seconds_per_step": 1.0, "adapter_bytes": 64},
}


def chosen(by, costs=COSTS):
    config = resolve_study("without-regret", "smoke", {"cheapest_by": by})
    runs = {n: {1: SimpleNamespace(flops=FLOPS[n], trainable=TRAINABLE[n])} for n in ARMS}
    arms = {n: SimpleNamespace(fresh=runs[n], best_lr=1.0) for n in ARMS}
    arms["full"] = SimpleNamespace(best_lr=1.0)
    verdict = SimpleNamespace(word="matches or beats", sentence=lambda a, b: f"{a} matches {b}.")
    found = SimpleNamespace(verdicts=dict.fromkeys(ARMS, verdict))
    return recommend(config, SimpleNamespace(arms=arms), found, costs)


@pytest.mark.parametrize(
    ("by", "arm", "words"),
    [
        ("flops", "lora-r16", "executed operations"),
        ("memory", "lora-r4", "peak memory"),
        ("time", "lora-r16", "time per step"),
        ("params", "lora-r1", "trainable parameters"),
        ("bytes", "lora-r1", "the size of its file"),
    ],
)
def test_every_choice_acts_and_is_named(by, arm, words):
    found = chosen(by)
    assert found["recommended"] == arm
    assert found["reason"] == f"the cheapest arm that matches, by {words}"
    assert found["cheapest_by"] == by


def test_what_could_not_be_measured_is_said():
    blank = {**COSTS["lora-r4"], "peak_memory_bytes": None}
    found = chosen("memory", {**COSTS, "lora-r4": blank})
    assert found["recommended"] == "lora-r16"
    assert found["reason"].endswith("by peak memory; lora-r4 could not be measured")
    found = chosen("memory", {})
    assert found["recommended"] == "lora-r16"
    assert found["reason"].endswith("by executed operations: peak memory could not be measured")


def test_time_and_memory_are_measured_when_they_decide():
    assert not resolve_study("without-regret", "smoke").measure
    assert resolve_study("without-regret", "smoke", {"cheapest_by": "time"}).measure
    with pytest.raises(UsageError, match="cheapest_by memory needs measure: true"):
        resolve_study("without-regret", "smoke", {"cheapest_by": "memory", "measure": False})
    with pytest.raises(UsageError, match="cheapest_by"):
        resolve_study("without-regret", "smoke", {"cheapest_by": "price"})


def test_a_finished_folder_may_be_asked_again_by_another_cost(tmp_path):
    folder = StudyFolder(tmp_path / "s")
    before, after = (resolve_study("without-regret", "smoke", {"cheapest_by": by}) for by in ("flops", "memory"))
    assert folder.open_or_create(before.to_dict(), GROWABLE, default_settings()) == "created"
    assert folder.open_or_create(after.to_dict(), GROWABLE, default_settings()) == "extended"
    with pytest.raises(UsageError, match="exact_match"):
        folder.open_or_create({**after.to_dict(), "exact_match": 4}, GROWABLE, default_settings())


def test_finalists_are_the_cheapest_by_what_is_asked():
    arms = [Screened("best", 1.0, 9, 9), Screened("few-flops", 1.01, 1, 8), Screened("few-params", 1.01, 8, 1)]
    assert choose_finalists(arms, 1.0, 2.0, Margin(0.05), 2) == ["best", "few-flops"]
    assert choose_finalists(arms, 1.0, 2.0, Margin(0.05), 2, "params") == ["best", "few-params"]
