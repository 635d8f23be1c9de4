"""No word on an arm whose best rate is at the edge of its grid, wherever a study gives words; nothing else moves."""

from types import SimpleNamespace

import pytest

from rankwise.report.figures.recovery import recovery_figure
from rankwise.report.view import arm_views
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.results.document import results
from rankwise.studies.results.exact_match import exact_match
from rankwise.studies.results.rules_of_thumb import rules
from rankwise.studies.results.verdicts import judge_study
from rankwise.studies.running.outcome import ArmOutcome

from .test_rules import outcome_of
from .tools import looked

FRESH = ("full", "lora-r1", "lora-r4", "lora-r16", "lora-r4-mlp")
LEVELS = {"full": 1.0, "lora-r1": 1.4, "lora-r4": 1.0, "lora-r16": 1.0, "lora-r4-mlp": 1.3}


def document(monkeypatch, edge=None):
    """The results of a made-up study; the arm ``edge`` found its best rate at the edge of its grid."""
    inside = ArmOutcome.bracketed.fget
    monkeypatch.setattr(ArmOutcome, "bracketed", property(lambda arm: arm.arm.name != edge and inside(arm)))
    config = resolve_study("without-regret", "smoke", {"exact_match": 8})
    rates = {arm.name: (3e-5, 1e-4, 3e-4) for arm in config.arms}
    outcome = looked(config, outcome_of(config, {**{arm.name: 1.5 for arm in config.arms}, **LEVELS}, rates, FRESH))
    for name in FRESH:
        for run in outcome.arms[name].fresh.values():
            run.right = (True,) * 6 + (name in ("full", "lora-r16"),) * 6
    base = SimpleNamespace(name="tiny", notes=(), fingerprint="f")
    splits = SimpleNamespace(name="d", notes=(), train=(), selection=(), test=(), fingerprint="g")
    found = results(config, base, splits, outcome, judge_study(config, outcome), [], {})
    quiz = SimpleNamespace(golds=(None,) * 12, commonest=0.0)
    return found | {"exact_match": exact_match(config, outcome, quiz, (False,) * 12), "rules": rules(config, outcome)}


def words(found):
    return {arm["name"]: arm["verdict"]["word"] for arm in found["arms"] if arm["name"] in FRESH}


def without(found, edge):
    """All that must not depend on where the best rate of ``edge`` lies."""
    own = [
        {**arm, "bracketed": None, "verdict": None} if arm["name"] == edge else {**arm, "bracketed": None}
        for arm in found["arms"]
    ]
    answers = [arm for arm in found["exact_match"]["arms"] if arm["arm"] != edge]
    rest = {
        key: value for key, value in found.items() if key not in ("arms", "verdict", "traps", "rules", "exact_match")
    }
    for taken in rest["looks"]["taken"]:
        taken["words"] = {name: word for name, word in taken["words"].items() if name != edge}
    return own, answers, rest


@pytest.mark.parametrize("edge", ["lora-r1", "lora-r4", "lora-r16", "lora-r4-mlp"])
def test_an_arm_at_the_edge_has_no_word_and_all_else_is_the_same(edge, monkeypatch):
    plain = document(monkeypatch)
    assert set(words(plain).values()) == {"reference", "matches", "falls short"}
    found = document(monkeypatch, edge)
    assert words(found) == {**words(plain), edge: "no verdict"}
    assert without(found, edge) == without(plain, edge)
    arm = next(arm for arm in found["arms"] if arm["name"] == edge)
    assert "its best learning rate is at the edge of its grid" in arm["verdict"]["sentence"]
    assert (arm["verdict"]["contrast"], arm["verdict"]["needs"]) == (None, None)
    assert found["verdict"]["recommended"] not in (edge, None)
    assert [trap for trap in found["traps"] if trap not in plain["traps"]] == [
        f"{arm['label']}: the best learning rate 0.0001 is at the edge of its grid, so its score may be worse than it "
        "could be."
    ]


@pytest.mark.parametrize("edge", ["full", "lora-r1", "lora-r4", "lora-r16"])
def test_right_answers_and_rules_of_thumb_give_no_word_either(edge, monkeypatch):
    plain, found = document(monkeypatch), document(monkeypatch, edge)
    label = next(arm["label"] for arm in found["arms"] if arm["name"] == edge)
    for before, now in zip(plain["exact_match"]["arms"][1:], found["exact_match"]["arms"][1:], strict=True):
        concerned = edge in ("full", now["arm"])
        assert (f"no verdict, as the best learning rate of {label} is at the edge" in now["sentence"]) == concerned
        assert concerned or now == before
    rule = {rule["rule"]: rule for rule in found["rules"]}["rank-saturation"]
    assert not rule["enough"]
    assert rule["sentence"].endswith(f"the best learning rate of {label} is at the edge of its grid.")


def test_a_reference_at_the_edge_still_takes_every_word(monkeypatch):
    assert set(words(document(monkeypatch, "full")).values()) == {"reference", "no verdict"}


def test_the_page_says_so_beside_the_bar(monkeypatch):
    for edge in (None, "lora-r1"):
        shown = {"results": document(monkeypatch, edge), "cost": {"arms": {}}}
        said = "Where it says no verdict" in recovery_figure(shown).caption
        assert said == ("no verdict" in {view.badge.word for view in arm_views(shown)}) == (edge is not None)
