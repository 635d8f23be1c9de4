import numpy as np
import pytest

from rankwise.stats.scores import Scores
from rankwise.stats.verdict import judge, judge_all

from .make import study


def test_a_good_arm_matches(rng):
    verdict = judge(*study(rng, regret=-0.02), 0.05)
    assert verdict.word == "matches or beats"
    assert verdict.contrast.high < 0
    assert verdict.p < 0.05
    assert verdict.needs is None
    text = verdict.sentence("LoRA", "full")
    assert text.startswith("LoRA keeps at least 95 % of full's gain: it recovers 10")


def test_a_crippled_arm_falls_short(rng):
    verdict = judge(*study(rng, regret=0.5), 0.05)
    assert verdict.word == "falls short"
    assert verdict.sentence("LoRA r=1", "full").startswith("LoRA r=1 falls short of full: it recovers ")
    assert verdict.contrast.low > 0
    assert verdict.recovery.high < 0.95


def test_between_is_undecided_with_a_plan(rng):
    arm, reference, base = study(rng, seeds=2)  # seeds held fixed: more examples always decide
    shift = arm.score - 0.95 * reference.score - 0.05 * base.score
    arm = Scores(arm.nll - (shift + 0.004) * arm.tokens, arm.tokens, arm.seeds)  # D is exactly -0.004
    verdict = judge(arm, reference, base, 0.05)
    assert verdict.word == "undecided"
    assert verdict.contrast.estimate == pytest.approx(-0.004)
    assert verdict.needs.more_examples > 0
    text = verdict.sentence("LoRA", "full")
    assert text.startswith(
        "Undecided whether LoRA matches full (at least 95 % of the gain kept), for these seeds: the 95 % interval"
    )
    assert f"{verdict.needs.more_examples} more test examples" in text


def test_no_verdict_without_gain_or_bracket(rng):
    idle = judge(*study(rng, gain=0.0), 0.05)
    assert idle.word == "no verdict"
    assert "did not clearly improve" in idle.sentence("LoRA", "full")
    assert idle.recovery is None
    edge = judge(*study(rng), 0.05, bracketed=False)
    assert edge.word == "no verdict"
    assert "edge of its grid" in edge.reason
    assert edge.contrast is None


@pytest.mark.parametrize("edge", ["good", "poor", "between"])
def test_an_arm_at_the_edge_of_its_own_grid_has_no_verdict_and_the_others_keep_theirs(edge, rng):
    arm, reference, base = study(rng)
    arms = {"good": arm, "between": Scores(arm.nll + 0.05 * arm.tokens, arm.tokens, arm.seeds)}
    arms["poor"] = Scores(arm.nll + 0.5 * arm.tokens, arm.tokens, arm.seeds)
    plain = judge_all(arms, reference, base, 0.05, ladders=[("good", "between", "poor")])
    assert {v.word for v in plain.values()} == {"matches or beats", "undecided", "falls short"}
    found = judge_all(arms, reference, base, 0.05, at_edge=[edge], ladders=[("good", "between", "poor")])
    assert found[edge].word == "no verdict"
    assert "edge of its grid" in found[edge].sentence("LoRA", "full")
    assert (found[edge].contrast, found[edge].df, found[edge].p, found[edge].needs) == (None,) * 4
    assert found[edge].recovery == plain[edge].recovery
    assert {**found, edge: plain[edge]} == plain


@pytest.mark.parametrize(("seeds", "scoped"), [(1, True), (2, True), (3, False)])
def test_few_seeds_speak_for_themselves_only(rng, seeds, scoped):
    verdict = judge(*study(rng, seeds=seeds, regret=-0.05), 0.05)
    assert verdict.word == "matches or beats"
    assert verdict.for_these_seeds == scoped
    assert ("for these seeds" in verdict.sentence("a", "b")) == scoped


@pytest.mark.parametrize("paired", [True, False])
def test_the_reference_against_itself_never_falls_short(paired):
    words = []
    for k in range(200):
        rng = np.random.default_rng(k)
        _, reference, base = study(rng, seeds=3, seed_sd=0.05, gain=0.3)
        names = reference.seeds if paired else (11, 12, 13)
        again = (reference.nll / reference.tokens + rng.standard_normal((3, 1)) * 0.05) * reference.tokens
        words.append(judge(Scores(again, reference.tokens, names), reference, base, 0.05).word)
    # Truth lies a margin inside, so at most the nominal 2.5 %: 5 of 200, plus three standard errors.
    assert words.count("falls short") <= 11
    assert words.count("no verdict") < 100


def test_many_arms_pay_for_being_many(rng):
    arm, reference, base = study(rng)
    zero = arm.score - 0.95 * reference.score - 0.05 * base.score  # the shift that puts D at 0
    for extra in np.linspace(0, 0.1, 200):  # find an arm decided alone, but barely
        barely = Scores(arm.nll - (zero + extra) * arm.tokens, arm.tokens, arm.seeds)
        if judge(barely, reference, base, 0.05).word == "matches or beats":
            break
    alone = judge(barely, reference, base, 0.05)
    poor = Scores(arm.nll - zero * arm.tokens, arm.tokens, arm.seeds)
    many = judge_all({"barely": barely, "b": poor, "c": poor, "d": poor}, reference, base, 0.05)
    assert many["barely"].word == "undecided"
    assert "correcting for the other arms" in many["barely"].reason
    assert many["barely"].contrast == alone.contrast
    on_ladder = judge_all(
        {"barely": barely, "b": poor, "c": poor}, reference, base, 0.05, ladders=[("barely", "b", "c")]
    )
    assert on_ladder["barely"].word == "matches or beats"


def test_a_ladder_stops_where_it_is_undecided(rng):
    arm, reference, base = study(rng)
    shift = arm.score - 0.95 * reference.score - 0.05 * base.score
    good = Scores(arm.nll - 0.1 * arm.tokens, arm.tokens, arm.seeds)
    even = Scores(arm.nll - shift * arm.tokens, arm.tokens, arm.seeds)
    arms = {"r64": even, "r16": good, "r4": good}
    got = judge_all(arms, reference, base, 0.05, ladders=[("r64", "r16", "r4")])
    assert [got[n].word for n in arms] == ["undecided"] * 3
    assert "before it on the ladder" in got["r16"].reason
    assert got["r16"].needs is None


def test_scale_of_the_losses_does_not_change_the_word(rng):
    arm, reference, base = study(rng, regret=0.08)
    words = {
        judge(*(Scores(s.nll * k, s.tokens, s.seeds) for s in (arm, reference, base)), 0.05).word
        for k in (1e-3, 1.0, 1e3)
    }
    assert len(words) == 1
