"""What shares a pass, over a table of pairs; the pack and the planner do as it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rankwise import methods
from rankwise.adapters import Full
from rankwise.adapters.events import HiddenKey, Orthogonalize, ShiftedAttention
from rankwise.engine import Forward, PackJob, TrainSpec
from rankwise.engine.pack.loop import Pack
from rankwise.engine.pack.sharing import alone, company, joined, shares
from rankwise.engine.trainees import make_trainee
from rankwise.execution.packing import SplitSize, plan_packs, run_cost

TARGETS = {
    "lora": methods.lora(2),
    "dora": methods.dora(2),
    "in groups": replace(methods.lora(2), events=(ShiftedAttention(16),)),
    "merging": methods.relora(2),
    "codes": methods.qlora(2),
    "codes too": replace(methods.qlora(4), dropout=0.1),
    "codes on attention": methods.qlora(2, placement="attention"),
    # Each goes alone.
    "full": Full(),
    "owner": methods.delta_lora(2),
    "own codes": methods.loftq(2),
    "prompt": methods.prompt_tuning(),
    "own loss": replace(methods.lora(2), events=(HiddenKey(),)),
    "between passes": replace(methods.lora(2), events=(Orthogonalize(every=2, micro_batches=True),)),
}
COMPANIES = [{"lora", "dora", "in groups", "merging"}, {"codes", "codes too"}, {"codes on attention"}]


def together(one, other):
    return any({one, other} <= company for company in COMPANIES)


def spec(target):
    return TrainSpec(target, lr=1e-3, steps=2, batch=2, micro_batch=1)


@pytest.mark.parametrize("one", TARGETS)
def test_pairs(one):
    assert alone(TARGETS[one]) == (not together(one, one))
    for other, target in TARGETS.items():
        assert shares(TARGETS[one], target) == together(one, other), other
        assert PackJob(spec(TARGETS[one])).shares(PackJob(spec(target))) == together(one, other), other


def test_the_planner_makes_these_packs(tiny_base, tiny_splits):
    size = SplitSize.of(tiny_splits.train)
    assert run_cost(tiny_base.model, "", spec(TARGETS["prompt"]), size).alone
    plain = run_cost(tiny_base.model, "", spec(TARGETS["lora"]), size)
    costs = [replace(plain, label=name, company=company(target)) for name, target in TARGETS.items()]
    packs = [{run.label for run in pack.runs} for pack in plan_packs(costs, full_rate=10**6)]
    single = [{name} for name in TARGETS if not together(name, name)]
    assert sorted(map(sorted, packs)) == sorted(map(sorted, [*COMPANIES, *single]))


def test_the_pack_has_room_for_these(tiny_base, tiny_splits):
    forward = Forward(tiny_base.model)
    for first in ("lora", "full", "own loss", "between passes"):
        pack = Pack(tiny_base, tiny_splits, forward, None, None, 0.0)
        try:
            pack._join(0, PackJob(spec(TARGETS[first])))
            found = {name for name, target in TARGETS.items() if pack._has_room(PackJob(spec(target)))}
        finally:
            for member in pack.members:
                member.run.close()
        assert found == {name for name in TARGETS if together(first, name)}


def test_what_trains_says_the_same(tiny_base):
    forward = Forward(tiny_base.model)
    for name in ("lora", "full", "owner", "prompt", "own loss"):
        trainee = make_trainee(tiny_base.model, forward, TARGETS[name], 0)
        try:
            assert trainee.alone == alone(TARGETS[name])
        finally:
            trainee.close()


def test_parts_join_from_the_rows_on_at_which_bits_are_their_own():
    assert joined([3, 8, 9], 8) == [1, 2]
    assert joined([3, 8, 9], None) == []
