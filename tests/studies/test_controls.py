"""The controls' logic on the tiny model: both come out right, and a wrong one is seen."""

from dataclasses import replace

import pytest
from benchmarks.known_verdicts import AGAIN, CRIPPLED, Setting, run_controls

from rankwise.adapters import Full
from rankwise.data import Limits, load_data
from rankwise.errors import RunError
from rankwise.methods import lora

SETTING = Setting(
    crippled=lora(rank=1, placement=r"regex:layers\.0\.self_attn\.k_proj$"),
    full_lr=3e-3,
    crippled_lr=1e-3,
    steps=12,
    batch=8,
)


@pytest.fixture(scope="module")
def splits(tiny_base):
    return load_data("word-problems", tiny_base.tokenizer, limits=Limits(64, 8, 24))


@pytest.mark.slow
def test_full_against_itself_does_not_fall_short_and_a_crippled_arm_does(tiny_base, splits):
    said = []
    found = run_controls(tiny_base, splits, SETTING, tell=said.append)
    again, crippled = found["controls"]
    assert (again["control"], crippled["control"]) == (AGAIN, CRIPPLED)
    assert again["word"] in ("matches or beats", "undecided")
    assert crippled["word"] == "falls short"
    assert crippled["recovery"][2] < 0.5
    assert found["passed"]
    assert found["reference_test_nll"] < found["base_test_nll"]
    assert len(said) == 9
    assert not set(SETTING.seeds) & set(SETTING.other_seeds)


@pytest.mark.slow
def test_a_control_that_comes_out_wrong_is_seen(tiny_base, splits):
    # What is not crippled at all cannot fall short, so the second control must fail.
    found = run_controls(tiny_base, splits, replace(SETTING, crippled=Full(), crippled_lr=3e-3, steps=6))
    assert found["controls"][1]["word"] == "matches or beats"
    assert not found["controls"][1]["passed"]
    assert not found["passed"]


def test_a_diverged_control_is_a_fault(tiny_base, splits):
    with pytest.raises(RunError, match="lower its learning rate"):
        run_controls(tiny_base, splits, replace(SETTING, full_lr=1e30, steps=4))
