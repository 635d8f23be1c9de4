"""Where a search starts: today's grids on the default model, lower rates on wider models."""

import itertools

import pytest

from rankwise.adapters import Full
from rankwise.methods import lora, lora_plus, oft, olora, vera
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.presets.scales import default_rate, grid
from rankwise.studies.search.lr_prior import center, on_ladder, prior


def test_the_default_model_starts_at_measured_grids():
    assert grid("quick", Full()) == (3e-5, 1e-4, 3e-4)
    assert grid("quick", lora(rank=8)) == (3e-4, 1e-3, 3e-3)
    assert grid("quick", olora(rank=8)) == (3e-5, 1e-4, 3e-4)
    assert grid("quick", lora_plus(rank=8)) == (1e-4, 3e-4, 1e-3)
    assert grid("quick", Full(), sweep=True) == (1e-5, 3e-5, 1e-4, 3e-4, 1e-3)
    rates = [default_rate("quick", target) for target in (Full(), lora(), olora(), lora_plus(), vera())]
    assert rates == [1e-4, 1e-3, 1e-4, 3e-4, 1e-2]


@pytest.mark.parametrize(
    ("width", "full"), [(64, 1e-3), (576, 1e-4), (896, 1e-4), (2048, 3e-5), (4096, 3e-5), (8192, 1e-5)]
)
def test_wider_models_start_lower(width, full):
    assert center("full", width) == full
    assert center("lora", width) == pytest.approx(10 * full)


def test_very_short_runs_start_higher_for_lora_only():
    assert center("lora", steps=16) == 3e-3
    assert center("full", steps=16) == 1e-4
    assert center("lora", steps=17) == 1e-3


@pytest.mark.parametrize(
    ("rate", "near"), [(1e-4, 1e-4), (1.7e-4, 1e-4), (1.8e-4, 3e-4), (5.4e-4, 3e-4), (5.6e-4, 1e-3), (9e-5, 1e-4)]
)
def test_the_ladder(rate, near):
    assert on_ladder(rate) == near


def test_rates_of_a_prior_are_apart_by_about_three():
    rates = prior("lora", 1024, each_side=3)
    assert len(rates) == 7
    assert all(2.9 < b / a < 3.4 for a, b in itertools.pairwise(rates))


def test_a_study_of_a_wider_model_starts_lower():
    config = resolve_study("rank", "quick", {"model": "Qwen3-8B"})
    assert config.learning_rates["full"] == (1e-5, 3e-5, 1e-4)
    assert config.learning_rates["lora-r16"] == (1e-4, 3e-4, 1e-3)
    assert resolve_study("rank", "smoke").learning_rates["full"] == (3e-3, 1e-2, 3e-2), "a random tiny model's own"
    assert resolve_study("rank", "smoke", {"model": "default"}).learning_rates["full"] == (3e-5, 1e-4, 3e-4)


def test_vectors_start_higher_than_factors_and_rotations_lower():
    assert grid("quick", vera(), steps=8) == (1e-2, 3e-2, 1e-1)
    assert grid("quick", lora(), steps=8) == (1e-3, 3e-3, 1e-2)
    assert grid("quick", oft(), steps=8) == (3e-4, 1e-3, 3e-3)
    assert grid("tutorial", vera()) == grid("tutorial", lora()), "the tutorial's are to the letter"
