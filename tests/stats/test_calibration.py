"""The calibration on real runs: pools resume, and studies drawn from them are judged as `judge` would judge them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.calibration import pool as pools
from benchmarks.calibration.draws import AGAIN, draw, resampled
from benchmarks.calibration.facts import short_code_book
from benchmarks.calibration.families import family
from benchmarks.calibration.looks import BOTH, CONTRASTS, ONE, table, truths
from benchmarks.calibration.power import placed
from benchmarks.calibration.rates import ARMS, Plan, boundary_rates
from benchmarks.calibration.recipe import CONDITIONS, EARLY, FULL, Recipe
from benchmarks.calibration.rules import LOOKS, ONCE, looked_again, one_look, sequential

from rankwise.engine import Forward
from rankwise.errors import UsageError
from rankwise.models import load_base
from rankwise.stats.looks import HORIZON, Look
from rankwise.stats.margin import Margin
from rankwise.stats.scores import Scores
from rankwise.stats.verdict import judge
from rankwise.stats.verdict_words import FALLS_SHORT, MATCHING

MARGINS = {ONE: Margin(0.05), BOTH: Margin(0.05, 0.10, 0.01)}


def made_up(runs=30, examples=60):
    """A pool of numbers with seeds, examples and their interaction."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(3, 12, examples).astype(float)
    hard, order = rng.standard_normal(examples), rng.standard_normal((runs, 1))
    rows = {
        name: (2 + 0.05 * i + 0.2 * hard + 0.05 * order + 0.05 * rng.standard_normal((runs, examples))) * tokens
        for i, name in enumerate(CONDITIONS)
    }
    return pools.Pool(rows, (6 + hard) * tokens, tokens)


def word(pool, drawn, study, seeds, look, margin, by):
    """What `judge` says of one study at one look, the arm moved ``by`` nats per token."""
    columns, tokens = drawn.examples[study], pool.tokens[drawn.examples[study]]

    def scores(condition, rows, moved=0.0):
        seeds_of = tuple(int(row) for row in rows[study][:seeds])
        return Scores(pool.runs[condition][rows[study][:seeds]][:, columns] + moved * tokens, tokens, seeds_of)

    arm, reference = scores(drawn.condition, drawn.arm, by), scores(FULL, drawn.reference)
    return judge(arm, reference, Scores.without_seed(pool.base[columns], tokens), margin, look=look).word


@pytest.mark.parametrize("binding", [ONE, BOTH], ids=["gain", "gain and loss"])
@pytest.mark.parametrize("same", [True, False], ids=["same seeds", "other seeds"])
def test_rules_over_many_studies_say_what_the_verdict_says_of_each(binding, same):
    pool, studies = made_up(), 2
    drawn = draw(pool, (EARLY,), np.random.default_rng(1), studies=studies, seeds=HORIZON, examples=24, same=same)[
        EARLY
    ]
    found = table(pool, drawn, LOOKS, ONCE)
    for regret in (0.6, 1.0, 1.4):
        shift = placed(found.truth, binding, regret)
        by = shift["regret"] - found.truth["regret"]
        for rule, counts, horizon in (
            (sequential(binding), LOOKS, HORIZON),
            (looked_again(ONCE, binding), ONCE, None),
            (one_look(5, binding), (5,), None),
        ):
            said = rule(found, shift)
            for study in range(studies):
                last = int(said.seeds[study])
                for seeds in (n for n in counts if n <= last):
                    expected = word(pool, drawn, study, seeds, Look(seeds, horizon), MARGINS[binding], by)
                    assert (expected in MATCHING) == (bool(said.matches[study]) and seeds == last)
                    assert (expected == FALLS_SHORT) == (bool(said.short[study]) and seeds == last)


def test_studies_use_disjoint_runs_and_distinct_examples():
    drawn = draw(made_up(), ARMS, np.random.default_rng(2), studies=5, seeds=HORIZON, examples=24, same=True)
    for arm, own in drawn.items():
        assert own.paired == (arm != AGAIN)
        for study in range(5):
            rows = {*own.reference[study], *own.arm[study]}
            assert len(rows) == (HORIZON if own.paired else 2 * HORIZON)
            assert len(set(own.examples[study])) == 24


def test_a_resampled_pool_has_its_own_truth_and_keeps_pairs():
    pool = made_up()
    other = resampled(pool, np.random.default_rng(3))
    assert other.mean(EARLY) != pool.mean(EARLY)

    assert other.runs[FULL].shape == pool.runs[FULL].shape
    assert truths(other, FULL)["regret"] == 0


def test_rates_of_a_small_plan_have_intervals_around_them():
    plan = Plan(examples=(24,), studies=30, resamples=2, resample_studies=10)
    rows = boundary_rates(made_up(), plan, tell=lambda text: None)
    assert {row["arm"] for row in rows} == {*ARMS, "any arm"}
    for row in rows:
        for kind in ("matches", "falls_short"):
            rate, low, high = row[kind]
            assert 0 <= low <= rate <= high <= 1
    assert rows == boundary_rates(made_up(), plan, tell=lambda text: None)


def test_a_family_errs_at_most_as_often_as_its_arms_together():
    pool = made_up()
    drawn = draw(pool, ARMS, np.random.default_rng(4), studies=60, seeds=HORIZON, examples=24, same=True)
    found = {arm: table(pool, own, LOOKS, ()) for arm, own in drawn.items()}
    zero = dict.fromkeys(CONTRASTS, 0.0)
    alone = [sequential(BOTH)(own, zero) for own in found.values()]
    for rate, kind in zip(family(found), ("matches", "short"), strict=True):
        assert rate <= np.mean(np.any([getattr(said, kind) for said in alone], axis=0))


def test_a_pool_of_a_tiny_model_resumes_with_the_same_bits_and_is_judged(tmp_path):
    torch.set_num_threads(1)
    base = load_base("tiny", dtype=torch.float32)
    splits = short_code_book(tmp_path / "data", base, 40, train=40)
    lr = {name: 1e-3 for name in CONDITIONS if name != EARLY}
    recipe = Recipe(lr, steps=2, early_step=1, batch=4, search={})
    forward, told = Forward(base.model), []
    pools.fill(tmp_path, base, splits, recipe, forward, runs=6, key="a", tell=told.append)
    assert len(told) == len(CONDITIONS)
    chunk = tmp_path / EARLY / "0001-0006.safetensors"
    before = pools.read(tmp_path, 6)
    chunk.unlink()
    pools.fill(tmp_path, base, splits, recipe, forward, runs=6, key="a", tell=told.append)
    assert len(told) == len(CONDITIONS) + 1
    pool = pools.read(tmp_path, 6)
    assert all(np.array_equal(pool.runs[name], before.runs[name]) for name in CONDITIONS)
    assert pool.runs[FULL].shape == (6, 40)
    assert len({tuple(row) for row in pool.runs[FULL]}) == 6
    with pytest.raises(UsageError, match="another FOLDER"):
        pools.fill(tmp_path, base, splits, recipe, forward, runs=6, key="b", tell=told.append)
    drawn = draw(pool, ARMS, np.random.default_rng(5), studies=4, seeds=3, examples=20, same=True)
    for arm, own in drawn.items():
        found = table(pool, own, (3,), (3,))
        said = one_look(3)(found, found.truth)
        by_hand = [word(pool, own, study, 3, Look(3), MARGINS[ONE], 0.0) for study in range(4)]
        assert [w in MATCHING for w in by_hand] == said.matches.tolist(), arm


def test_the_page_says_what_its_numbers_say():
    from docs.calibration import PAGE, RESULTS, page

    found = json.loads(Path(RESULTS).read_text(encoding="utf-8"))
    assert found["runs"] >= 200
    assert found["plan"]["studies"] >= 1200
    assert PAGE.read_text(encoding="utf-8") == page(found), "run python -m docs.calibration"
