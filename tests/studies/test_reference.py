"""A reference that fits the machine."""

import pytest

from rankwise.errors import UsageError
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.results.reference import choose_reference


def test_memory_decides():
    fits = choose_reference("LLaMA-2-7B", "bfloat16", 8, 256, memory=10**12)
    assert fits.reference == "full"
    small = choose_reference("LLaMA-2-7B", "bfloat16", 8, 256, memory=24 * 10**9)
    assert small.reference == "best-rank"
    assert "you have 24 GB" in small.why


def test_best_rank_stands_in():
    config = resolve_study("without-regret", "quick", {"reference": "best-rank"})
    assert config.reference_arm.name == "lora-r64"
    assert config.reference_words == "LoRA r=64"
    assert all(arm.method != "full" for arm in config.arms)


def test_best_rank_needs_another_arm():
    with pytest.raises(UsageError, match="best-rank needs a LoRA arm"):
        resolve_study("without-regret", "quick", {"reference": "best-rank", "methods": ["lora-r1"]})


def test_an_unknown_reference_is_refused():
    with pytest.raises(UsageError, match="reference"):
        resolve_study("rank", "quick", {"reference": "bestrank"})
