"""The planner: widths by tokens per pass and by memory, owners alone, estimates that follow what is trained."""

from dataclasses import replace

import pytest
import torch

from rankwise.adapters import Full
from rankwise.engine import Forward, PackJob, TrainSpec, train, train_pack
from rankwise.execution.packing import RunCost, SplitSize, describe, memory_budget, plan_packs, run_cost
from rankwise.methods import lora, olora
from rankwise.models import tiny_model
from rankwise.studies.budget.throughput import throughput


def cost(label="r", tokens=64.0, own=10, graph=20, alone=False, base=100):
    return RunCost(label, None if alone else "as it is", tokens, base, own, graph, 1000, 500)


def test_long_passes_stay_alone_and_short_ones_share():
    long = [cost(f"long {i}", tokens=600) for i in range(2)]
    short = [cost(f"short {i}", tokens=64) for i in range(3)]
    packs = plan_packs([*long, *short])
    assert [[r.label for r in p.runs] for p in packs] == [["long 0"], ["long 1"], ["short 0", "short 1", "short 2"]]
    assert [p.width for p in packs] == [1, 1, 3]
    assert plan_packs([cost(str(i)) for i in range(20)])[0].width == 8, "eight passes of 64 tokens fill 512"
    assert plan_packs([cost(str(i)) for i in range(20)], full_rate=128)[0].width == 2
    assert plan_packs([]) == []


def test_a_budget_narrows_the_pack_by_its_largest_members():
    runs = [cost(str(i), own=10 * i) for i in range(1, 6)]
    assert plan_packs(runs)[0].bytes == 100 + 150 + 5 * 20
    (pack,) = plan_packs(runs, budget=100 + 70 + 60)
    assert (pack.width, pack.bytes, pack.fits) == (2, 100 + 70 + 60, True)
    (pack,) = plan_packs(runs, budget=120)
    assert (pack.width, pack.fits) == (1, False)
    assert [r.label for r in pack.runs] == list("12345")


def test_owners_go_alone_whatever_their_passes():
    packs = plan_packs([cost("full", tokens=8, alone=True), cost("a"), cost("b")])
    assert [(p.width, len(p.runs)) for p in packs] == [(1, 1), (2, 2)]


def test_runs_that_see_other_weights_get_a_pack_of_their_own():
    coded = [replace(cost(f"coded {i}"), company="codes") for i in range(2)]
    packs = plan_packs([coded[0], cost("plain"), coded[1]])
    assert [[r.label for r in p.runs] for p in packs] == [["coded 0", "coded 1"], ["plain"]]


def test_costs_follow_the_run(tiny_splits):
    model, size = tiny_model(), SplitSize.of(tiny_splits.train)
    one = TrainSpec(lora(rank=4), lr=1e-3, steps=10, batch=8, micro_batch=2)

    def of(spec, **more):
        return run_cost(model, "x", spec, size, [SplitSize.of(tiny_splits.selection)], **more)

    small = of(one)
    assert of(replace(one, target=lora(rank=8))).own_bytes == 2 * small.own_bytes
    assert small.own_bytes == 5 * 4 * sum(p.numel() for p in _factors(4))  # values, gradient, two moments, best
    assert of(replace(one, target=olora(rank=4))).own_bytes == small.own_bytes * 6 // 5  # and its frozen start
    assert of(replace(one, micro_batch=4)).pass_bytes > 1.9 * small.pass_bytes
    assert of(one, steps=5).train_flops == pytest.approx(small.train_flops / 2, rel=1e-3)
    assert of(replace(one, target=Full())).alone
    assert not small.alone
    assert small.pass_tokens == pytest.approx(2 * size.work.tokens / size.examples)
    assert small.evaluation_flops > 0


def test_flops_are_those_the_engine_counts(tiny_base, tiny_splits):
    """Over whole epochs the estimate is the run's own count."""
    spec = TrainSpec(lora(rank=4), lr=1e-3, steps=10, batch=8)
    (planned,) = plan_packs([run_cost(tiny_base.model, "x", spec, SplitSize.of(tiny_splits.train))])
    assert planned.runs[0].train_flops == train(tiny_base, spec, tiny_splits).flops


def test_description_is_json_with_totals_and_times():
    packs = plan_packs([cost("a"), cost("b"), cost("long", tokens=999)])
    plan = describe(packs, flops_per_second=100.0, evaluation_flops_per_second=50.0)
    assert [p["seconds"] for p in plan["packs"]] == [20.0, 40.0]
    assert plan["seconds"] == 60.0
    assert (plan["runs"], plan["train_flops"], plan["memory_bytes"], plan["fits"]) == (3, 3000, 160, True)
    assert describe(packs)["seconds"] is None


def test_a_plan_is_carried_out(tiny_base, tiny_splits):
    specs = [TrainSpec(lora(rank=2 + i), lr=1e-2, steps=2, batch=2, micro_batch=1) for i in range(3)]
    size = SplitSize.of(tiny_splits.train)
    costs = [run_cost(tiny_base.model, str(i), spec, size) for i, spec in enumerate(specs)]
    (pack,) = plan_packs(costs, memory_budget())
    jobs = [PackJob(specs[int(run.label)], bytes=run.bytes) for run in pack.runs]
    results = train_pack(tiny_base, jobs, tiny_splits, width=pack.width, budget=memory_budget())
    assert results == [train(tiny_base, spec, tiny_splits) for spec in specs]


def test_throughput_is_measured_and_leaves_no_trace(tiny_base, tiny_splits):
    before = [type(m) for m in tiny_base.model.modules()]
    spec = TrainSpec(lora(rank=2), lr=1e-2, steps=9, batch=4, warmup=3, schedule="linear")
    measured = throughput(tiny_base, Forward(tiny_base.model), spec, tiny_splits)
    assert measured.train > 0
    assert measured.evaluate > 0
    assert [type(m) for m in tiny_base.model.modules()] == before


def _factors(rank):
    from rankwise.adapters import attach

    return [p.detach() for p in attach(tiny_model(dtype=torch.float32), lora(rank=rank)).trainable().values()]
