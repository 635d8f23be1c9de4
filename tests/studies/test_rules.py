"""Rules of thumb from made-up outcomes whose answers are known."""

import numpy as np
import pytest

from rankwise.engine import RunResult, Score
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.results.rules_of_thumb import rules
from rankwise.studies.running.conduct import ArmOutcome, Outcome
from rankwise.studies.running.outcome import Search

TOKENS = (10,) * 12
BASE = 2.0


def score(mean, seed):
    noise = np.random.default_rng(seed).normal(0, 0.01, 12)
    return Score(tuple(float(10 * (mean + x)) for x in noise), TOKENS)


def run(mean, seed=0, test=False):
    own = score(mean, seed)
    curve = [(4, own.mean)]
    return RunResult(curve=curve, selection=own, best_step=4, trainable=10, flops=10, test=own if test else None)


def outcome_of(config, means, rates, fresh=(), base=BASE):
    arms = {}
    for arm in config.arms:
        found = ArmOutcome(arm)
        for lr, worse in zip(rates[arm.name], (0.2, 0.0, 0.1), strict=True):
            found.screening[lr] = run(means[arm.name] + worse)
        if arm.name in fresh:
            found.fresh = {seed: run(means[arm.name], seed, test=True) for seed in config.fresh_seeds}
        arms[arm.name] = found
    return Outcome(
        score(base, 99), score(base, 99), arms, [name for name in fresh if name != "full"], Search((), (), 0, 0)
    )


@pytest.fixture
def config():
    return resolve_study("without-regret", "smoke")


def made(config, fresh=(), base=BASE, **means):
    names = [arm.name for arm in config.arms]
    full = {"full": (3e-5, 1e-4, 3e-4)}
    rates = {name: full.get(name, (3e-4, 1e-3, 3e-3)) for name in names}
    level = {"full": 1.0, "lora-r1": 1.2, "lora-r4": 1.01, "lora-r16": 1.0, **means}
    return {
        r["rule"]: r
        for r in rules(config, outcome_of(config, {**dict.fromkeys(names, 1.5), **level}, rates, fresh, base))
    }


def test_the_ratio_to_full_and_what_the_grids_leave_open(config):
    rule = made(config)["learning-rate-ratio"]
    assert rule["enough"]
    assert rule["evidence"]["ratio"] == pytest.approx(10)
    # Half a step of about 3 on each side of both optima: sqrt(.3 / 3) and sqrt(3 / .3) around 10.
    assert rule["evidence"]["low"] == pytest.approx(10 / np.sqrt(10))
    assert rule["evidence"]["high"] == pytest.approx(10 * np.sqrt(10))
    assert rule["evidence"]["n"] == 3
    assert "10 times full fine-tuning's (geometric mean over 3 arms" in rule["sentence"]


def test_the_rank_where_recovery_saturates(config):
    rule = made(config)["rank-saturation"]
    assert rule["evidence"]["rank"] == 4
    assert not rule["evidence"]["fresh"]
    assert rule["evidence"]["lost"] == pytest.approx(0.01, abs=1e-4)
    assert "no interval" in rule["sentence"]
    fresh = made(config, fresh=("full", "lora-r4", "lora-r16"))["rank-saturation"]["evidence"]
    assert fresh["fresh"]
    assert fresh["low"] < fresh["lost"] < fresh["high"]
    assert (fresh["seeds"], fresh["examples"]) == (3, 12)
    none = made(config, **{"lora-r4": 1.3})["rank-saturation"]
    assert none["evidence"]["rank"] is None
    assert "had not saturated" in none["sentence"]


def test_mlp_only(config):
    good = made(config, **{"lora-r4-mlp": 1.02})["mlp-only"]
    assert good["sentence"].startswith("On the search alone, MLP only is enough at r=4")
    bad = made(config, fresh=("full", "lora-r4", "lora-r4-mlp"), **{"lora-r4-mlp": 1.4})["mlp-only"]
    assert bad["sentence"].startswith("MLP only is not enough at r=4")
    assert bad["evidence"]["low"] > config.margin


def test_without_data_every_rule_says_so():
    config = resolve_study("without-regret", "smoke", {"methods": ["olora"]})
    rates = {"full": (3e-5, 1e-4, 3e-4), "olora-r4": (3e-5, 1e-4, 3e-4)}
    found = rules(config, outcome_of(config, {"full": 1.0, "olora-r4": 1.0}, rates))
    assert [rule["enough"] for rule in found] == [False, False, False]
    assert all(rule["sentence"].startswith("Not enough data to say ") for rule in found)


def test_no_gain_is_not_enough_data(config):
    found = made(config, base=0.9)
    assert not found["rank-saturation"]["enough"]
    assert "gained nothing" in found["mlp-only"]["sentence"]
