"""What the papers on moving ranks claim, each as its own check."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from rankwise.adapters import attach
from rankwise.adapters.allocation import Ramp
from rankwise.adapters.allocation.base import depth
from rankwise.adapters.events import (
    ProgressiveFreezing,
    RankAllocator,
    RowSparsity,
    SampleRank,
    SoftThreshold,
    TwoLevels,
)
from rankwise.adapters.events.component_pruning import ComponentPruning, component_norms
from rankwise.adapters.events.early_mask import score
from rankwise.adapters.events.input_pruning import drop_lowest
from rankwise.adapters.events.output_selection import smallest_prefix
from rankwise.adapters.events.rank_allocator import keep_best
from rankwise.adapters.events.row_sparsity import keep_highest
from rankwise.adapters.events.sample_rank import first_components
from rankwise.adapters.events.soft_threshold import soft_threshold
from rankwise.adapters.penalties import GateEntropy, Variance
from rankwise.engine import TrainSpec, train
from rankwise.engine.events.summary import summarize
from rankwise.errors import UsageError
from rankwise.methods import (
    adalora,
    aflora,
    bilora,
    dora_dyn,
    dylora,
    lora,
    lora_drop,
    placement,
    prilora,
    roselora,
    sora,
    sparse_adapter,
    xgblora,
)

from ..contract.models import LLAMA
from ..contract.tools import close, loss, move, run
from .runs import begin, spec


class Bench:
    """A context over plain tensors: an event is driven by hand, step by step."""

    def __init__(self, layers, steps):
        self.layers, self.steps, self.state, self.grads = layers, steps, {}, {}
        self.modules, self.notes = tuple(layers), []

    def factors(self, module):
        return self.layers[module]

    def gradients(self, module):
        return self.grads[module]

    def rank(self, module):
        return len(self.layers[module]["e"])

    def write(self, module, values):
        self.layers[module] |= values

    def firing(self, *, measure=True):
        import contextlib

        self.notes.append({})
        return contextlib.nullcontext(self.notes[-1])


# AdaLoRA 8.1


def test_adalora_allocates_as_peft_does_on_the_same_gradients():
    """Twenty steps of the same factors and gradients: e is the same after each, to the bit."""
    from peft.tuners.adalora.layer import RankAllocator as Peer

    steps, every, rank, layers = 20, 3, 6, ("a", "b", "c")
    stream = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=stream, dtype=torch.float64)

    model = nn.ModuleDict({n: nn.Module() for n in layers})
    for n in layers:
        model[n].lora_A = nn.ParameterDict({"x": nn.Parameter(draw(rank, 7))})
        model[n].lora_B = nn.ParameterDict({"x": nn.Parameter(draw(5, rank))})
        model[n].lora_E = nn.ParameterDict({"x": nn.Parameter(draw(rank, 1))})
    config = SimpleNamespace(beta1=0.85, beta2=0.85, target_r=2, tinit=2, tfinal=6, total_step=steps, deltaT=every)
    peer = Peer(model, config, "x")
    event = RankAllocator(target=2, every=every, warm=0.1, final=0.3)
    bench = Bench(
        {n: {k: getattr(model[n], f"lora_{k.upper()}")["x"].detach().clone() for k in "ABe"} for n in layers}, steps
    )
    for n in layers:
        bench.layers[n]["e"] = bench.layers[n]["e"][:, 0]
    pattern = None
    for step in range(1, steps + 1):
        for n in layers:
            for k in "ABe":
                p = getattr(model[n], f"lora_{k.upper()}")["x"]
                with torch.no_grad():
                    p.grad = draw(*p.shape)
                    p.sub_(0.1 * p.grad)
                own = p.grad if k != "e" else p.grad[:, 0]
                bench.grads.setdefault(n, {})[k] = own.clone()
                bench.layers[n][k] = (p if k != "e" else p[:, 0]).detach().clone()
        if step < steps - 6:
            peer.update_and_allocate(model, step)
        elif step == steps - 6:
            _, pattern = peer.update_and_allocate(model, step, force_mask=True)
        else:
            peer.mask_using_rank_pattern(model, pattern)
        event.after_step(bench, step)
        for n in layers:
            assert torch.equal(bench.layers[n]["e"], model[n].lora_E["x"].detach()[:, 0]), step
    assert sum(int(own["e"].count_nonzero()) for own in bench.layers.values()) == 2 * 3
    assert {int(own["e"].count_nonzero()) for own in bench.layers.values()} != {2}, "shared out unevenly"


def test_adalora_keeps_to_its_budget(tiny_base, tiny_splits):
    event = RankAllocator(target=2, every=2)
    assert event.budget(2, 20, 90, 30) == 90
    assert event.budget(14, 20, 90, 30) == event.budget(20, 20, 90, 30) == 30
    assert all(event.budget(t, 20, 90, 30) >= event.budget(t + 1, 20, 90, 30) for t in range(20))
    result = train(tiny_base, spec("adalora", steps=12, rank=6, target=2, every=2), tiny_splits)
    masks = [e for e in result.events if "budget" in e]
    assert all(e["kept"] <= e["budget"] for e in masks)
    assert masks[-1]["kept"] == masks[-1]["budget"] == 2 * 14
    assert [sum(e["ranks_after"].values()) for e in masks] == [e["kept"] for e in masks]
    assert sum(masks[0]["ranks_before"].values()) == 6 * 14


def test_equal_scores_go_together():
    kept = keep_best({"a": torch.ones(4), "b": torch.ones(2)}, 3)
    assert not any(mask.any() for mask in kept.values())
    assert all(mask.all() for mask in keep_best({"a": torch.rand(4), "b": torch.rand(2)}, 6).values())


# SoRA 8.2


def test_sora_thresholds_by_the_proximal_step():
    """The minimizer of (z - g)^2 / 2 + xi |z|, found on a fine grid."""
    grid = torch.linspace(-2, 2, 400001, dtype=torch.float64)
    for g in (-1.3, -0.2, 0.0, 0.1, 0.9):
        best = grid[((grid - g).square() / 2 + 0.25 * grid.abs()).argmin()]
        assert soft_threshold(torch.tensor(g, dtype=torch.float64), 0.25) == pytest.approx(float(best), abs=1e-5)


def test_sora_closes_gates_by_default_in_a_run_of_any_length(tiny_base, tiny_splits):
    """Smoke's twelve steps at a rate of 3e-3: about the fifth that starts within 0.25 of zero, and some stay open."""
    result = train(tiny_base, TrainSpec(sora(), lr=3e-3, steps=12, batch=4), tiny_splits)
    assert 0.6 < result.events[-1]["kept"] / (16 * 14) < 0.95
    event = sora().events[0]
    for steps in (1, 12, 1000):
        assert sum(event.at(t, steps) for t in range(1, steps + 1)) == pytest.approx(0.25)
    assert sora(xi=1e-3).events[0].at(1, 12) == 1e-3
    assert sora(last=0.1).events[0] == SoftThreshold(1e-3, 0.1)


def test_sora_prunes_more_with_a_larger_xi_and_exports_the_masked_forward(tiny_base, tiny_splits, tmp_path):
    left = []
    for xi in (0.01, 0.1, 0.4):
        left.append(train(tiny_base, spec("sora", steps=4, rank=4, xi=xi), tiny_splits).events[-1]["kept"])
    assert left[0] > left[1] > left[2]
    assert SoftThreshold(0.01, 1.0).at(1, 5) == pytest.approx(0.01)
    assert SoftThreshold(0.01, 1.0).at(5, 5) == pytest.approx(1.0)
    model = LLAMA.make()
    handle = attach(model, sora(4, alpha=8))
    move(handle)
    with torch.no_grad():
        for slot in handle.slots.values():
            slot.factors["e"][1:3] = 0
    for path, slot in handle.slots.items():
        A, B = slot.plain()
        assert A.shape[0] == B.shape[1] == 2, "pruned components are left out"
        close(B @ A, handle.delta(path))


# DoRA, dynamic 8.3


def test_dora_dyn_counts_components_without_forming_them():
    A, B, e = (torch.randn(*s, dtype=torch.float64) for s in ((3, 7), (5, 3), (3,)))
    formed = torch.einsum("or,r,ri->roi", B, e, A).flatten(1).norm(dim=1)
    close(component_norms(A, B, e), formed)


def test_dora_dyn_prunes_by_a_cubic_from_fifteen_to_fifty_percent(tiny_base, tiny_splits):
    event = ComponentPruning(target=4)
    assert event.ends(100) == (15, 50)
    assert event.kept(15, 100, 60, 40) == 60
    assert event.kept(50, 100, 60, 40) == event.kept(99, 100, 60, 40) == 40
    assert event.kept(50 - 35 // 2, 100, 60, 40) > 55, "slow at first"
    result = train(tiny_base, spec("dora_dyn", steps=10, rank=6, target=4, every=1), tiny_splits)
    kept = [e["kept"] for e in result.events if "kept" in e]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] == 4 * 14
    assert [e["step"] for e in result.events if e.get("held") == 4 * 14] == [6, 7, 8, 9, 10]
    assert set(result.penalties) == {"variance"}
    assert dora_dyn(9).events[0].target == 6


def test_dora_dyn_prunes_little_by_little_in_the_shortest_scale_too(tiny_base, tiny_splits):
    """Smoke's twelve steps, at the defaults: twelve components go to eight over five choices; then only e is held."""
    result = train(tiny_base, TrainSpec(dora_dyn(), lr=1e-2, steps=12, batch=4), tiny_splits)
    kept = [(e["step"], e["kept"]) for e in result.events if "kept" in e]
    assert [step for step, _ in kept] == [2, 3, 4, 5, 6]
    assert kept[0][1] >= kept[2][1] > kept[3][1] > kept[4][1] == 8 * 14
    first, then = summarize(result.events)
    assert "mean rank" in first["effect"]
    assert then["effect"] == f"held {8 * 14}"
    event = dora_dyn().events[0]
    assert event.choices(20) == [4, 5, 6, 7, 8, 9, 10]
    assert len(event.choices(60)) == 10
    assert event.choices(60)[-1] == event.ends(60)[1] == 30
    assert dora_dyn(every=10).events[0].choices(100) == [25, 35, 45, 50]
    assert event.choices(1) == [1]


def test_dora_dyns_penalty_ends_with_the_pruning(tiny_base, tiny_splits):
    values = train(tiny_base, TrainSpec(dora_dyn(), lr=1e-2, steps=12, batch=4), tiny_splits).penalties["variance"]
    assert all(value > 0 for value in values[:6])
    assert values[6:] == [0.0] * 6
    assert [Variance(until=0.5).acts(step, 1) for step in (1, 2)] == [True, False]


# DyLoRA 8.6


@pytest.mark.parametrize("b", [1, 3, 4])
def test_dylora_at_every_rank_is_lora_of_that_rank(b):
    model, small = LLAMA.make(), LLAMA.make()
    handle, one = attach(model, dylora(4, alpha=8)), attach(small, lora(b, alpha=8))
    move(handle)
    with torch.no_grad():
        for path, slot in handle.slots.items():
            slot.lens = first_components(b)
            one.slots[path].factors["A"].copy_(slot.factors["A"][:b])
            one.slots[path].factors["B"].copy_(slot.factors["B"][:, :b])
    close(run(model, LLAMA), run(small, LLAMA))
    for slot in handle.slots.values():
        slot.lens = first_components(b, frozen=True)
    close(run(model, LLAMA), run(small, LLAMA))
    loss(model, LLAMA).backward()
    loss(small, LLAMA).backward()
    for path, slot in handle.slots.items():
        A, B = slot.factors["A"].grad, slot.factors["B"].grad
        for k in range(4):
            assert bool(A[k].count_nonzero()) == bool(B[:, k].count_nonzero()) == (k == b - 1)
        close(A[b - 1], one.slots[path].factors["A"].grad[b - 1])


def test_dylora_is_scored_at_every_rank_in_one_run(tiny_base, tiny_splits):
    result = train(tiny_base, spec("dylora", rank=4), tiny_splits)
    by_rank = result.events[-1]["selection_by_rank"]
    assert list(by_rank) == ["1", "2", "3", "4"]
    assert by_rank["4"] == result.curve[-1][1], "the whole is what the run is scored by"
    assert len(set(by_rank.values())) == 4
    assert {e["rank"] for e in result.events[:-1]} > {1}
    assert SampleRank().describe() == "rank drawn for every step"


# PRILoRA 8.7


def test_prilora_ranks_grow_with_depth_around_their_mean():
    modules = [f"model.layers.{i}.self_attn.{p}_proj" for i in range(12) for p in "qv"]
    ranks = Ramp(0.5).ranks(modules, 8)
    by_layer = [ranks[f"model.layers.{i}.self_attn.q_proj"] for i in range(12)]
    assert (by_layer[0], by_layer[-1]) == (4, 12)
    assert by_layer == sorted(by_layer)
    assert sum(ranks.values()) == 8 * len(ranks)
    assert depth("transformer.h.11.mlp.c_fc") == 11
    handle = attach(LLAMA.make(), prilora(4, alpha=8))
    assert {m.rank for m in handle.matched if ".0." in m.module} == {2}
    assert {m.rank for m in handle.matched if ".1." in m.module} == {6}
    assert {m.scaling for m in handle.matched} == {2.0}, "one scale"


def test_prilora_zeroes_what_matters_least_in_every_row(tiny_base, tiny_splits):
    importance = torch.tensor([[3.0, 1.0, 2.0, 4.0], [1.0, 1.0, 0.0, 5.0]])
    assert drop_lowest(importance, 0.5).tolist() == [[True, False, False, True], [False, True, False, True]]
    r = begin(tiny_base, tiny_splits, spec("prilora", rank=4, every=2))
    try:
        r.train_step()
        r.train_step()
        for slot in r.trainee.handle.slots.values():
            A = slot.factors["A"]
            assert (A == 0).sum(dim=1).tolist() == [A.shape[1] // 2] * A.shape[0]
        r.train_step()
        assert all(slot.factors["A"].all() for slot in r.trainee.handle.slots.values()), "they may grow back"
    finally:
        r.close()


def test_prilora_looks_at_the_inputs_of_the_step(tiny_base, tiny_splits):
    """A module's input statistic equals the one of the plain model run on the window's examples."""
    r = begin(tiny_base, tiny_splits, spec("prilora", rank=4, every=1, steps=2))
    try:
        seen = {}
        layer = tiny_base.model.get_submodule("model.layers.0.self_attn.q_proj")
        r.next_batch()
        ids = [r.splits.train[i].input_ids for one in r.window.passes for i in one]
        r.train_step()
        hook = layer.register_forward_pre_hook(
            lambda m, x: seen.setdefault("x", []).append(x[0].detach().flatten(0, -2))
        )
        with torch.no_grad():
            for one in ids:
                tiny_base.model(torch.tensor([one]))
        hook.remove()
        norms = torch.cat(seen["x"]).norm(dim=0)
        found = r.events.contexts[0].state["n/model.layers.0.self_attn.q_proj"]
        torch.testing.assert_close(found, norms, rtol=1e-4, atol=1e-5)
    finally:
        r.close()


# SparseAdapter 8.8


@pytest.mark.parametrize("by", ["snip", "magnitude", "synflow", "random"])
def test_sparse_adapter_has_its_density_at_every_step(by, tiny_base, tiny_splits):
    r = begin(tiny_base, tiny_splits, TrainSpec(sparse_adapter(4, density=0.3, by=by), lr=1e-2, steps=5, batch=4))
    try:
        patterns = []
        for step in range(1, 6):
            r.train_step()
            if step >= 2:
                flat = torch.cat([p.detach().flatten() for p in r.trainee.parameters.values()])
                assert int(flat.count_nonzero()) == round(0.3 * flat.numel())
                patterns.append(flat != 0)
        assert all(torch.equal(p, patterns[0]) for p in patterns), "chosen once"
        for slot in r.trainee.handle.slots.values():  # neither factor is gone whole
            kept = [int(slot.factors[name].count_nonzero()) / slot.factors[name].numel() for name in "AB"]
            assert by == "synflow" or min(kept) > (0.2 if by == "magnitude" else 0), kept
    finally:
        r.close()


def test_sparse_adapters_scores():
    factors = {"A": torch.randn(2, 5), "B": torch.randn(3, 2)}
    dead = {"A": torch.zeros(2, 5), "B": torch.zeros(3, 2)}
    assert not any(s.any() for s in score("snip", factors, dead, torch.Generator()).values())
    A, B = (factors[k].abs().requires_grad_() for k in "AB")
    flow = (B @ A).sum()
    flow.backward()
    found = score("synflow", factors, dead, torch.Generator())
    torch.testing.assert_close(found["A"], A.detach() * A.grad)
    torch.testing.assert_close(found["B"], B.detach() * B.grad)
    small = {"A": factors["A"], "B": 1e-3 * factors["B"]}
    equal = [score("magnitude", f, dead, torch.Generator()) for f in (factors, small)]
    torch.testing.assert_close(*equal)
    large = sparse_adapter(4, alpha=8, density=0.25, large=True)
    assert (large.rank, large.s) == (16, 2.0)


# RoseLoRA 8.9


def test_roselora_is_sparse_in_every_row_of_a_and_column_of_b(tiny_base, tiny_splits):
    assert keep_highest(torch.tensor([[3.0, 1.0, 2.0]]), 0.5).tolist() == [[True, False, True]]
    event = RowSparsity(keep=0.25)
    assert event.kept(3, 25) == 1
    assert event.kept(20, 25) == event.kept(25, 25) == 0.25
    assert 0.25 < event.kept(12, 25) < event.kept(8, 25) < 1
    r = begin(tiny_base, tiny_splits, TrainSpec(roselora(4, keep=0.25), lr=1e-2, steps=5, batch=4))
    try:
        for _ in range(5):
            r.train_step()
        for path, slot in r.trainee.handle.slots.items():
            A, B = slot.factors["A"], slot.factors["B"]
            rows, columns = -(-A.shape[1] // 4), -(-B.shape[0] // 4)
            assert (A != 0).sum(dim=1).tolist() == [rows] * 4
            assert (B != 0).sum(dim=0).tolist() == [columns] * 4
            assert int(r.trainee.handle.delta(path).count_nonzero()) <= 4 * rows * columns
    finally:
        r.close()


# LoRA-drop 3.3


def test_lora_drop_selects_by_output_and_shares_the_rest(tiny_base, tiny_splits):
    assert smallest_prefix({"a": 0.2, "b": 0.7, "c": 0.1}, 0.9) == ["b", "a"]
    assert smallest_prefix({"a": 0.5, "b": 0.0, "c": 0.5}, 1.0) == ["a", "c"], "all that say something"
    r = begin(tiny_base, tiny_splits, spec("lora_drop", rank=2, threshold=0.6, stage=0.25))
    try:
        for _ in range(2):
            r.train_step()
        record = r.result.events[0]
        kinds = {}
        for name, value in record["importance"].items():
            kinds.setdefault(name.rpartition(".")[2], []).append(value)
        assert all(sum(values) == pytest.approx(1) for values in kinds.values())
        assert not any(slot.factors["B"].any() for slot in r.trainee.handle.slots.values()), "all start again"
        assert not r.optimizer.state
        groups = r.events.contexts[0].state["groups"]
        for _ in range(3):
            r.train_step()
        slots = r.trainee.handle.slots
        shared = {name for members in groups.values() for name in members}
        assert shared == set(record["sharing"])
        for leader, members in groups.items():
            assert slots[leader].factors["B"].any(), "what is shared trains"
            for member in members:
                for factor in "AB":
                    assert torch.equal(slots[member].factors[factor], slots[leader].factors[factor])
    finally:
        r.close()


def deep(base, layers=5):
    """The tiny base with more layers, so that several of one kind share."""
    import copy

    from transformers import LlamaForCausalLM

    config = copy.deepcopy(base.model.config)
    config.num_hidden_layers, config.initializer_range = layers, 0.1
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return replace(base, model=LlamaForCausalLM(config).eval())


def test_lora_drop_shared_layers_step_as_one_tensor(tiny_base, tiny_splits):
    """The leader's moments are those of the summed gradient, the others have none, and clipping counts it once."""
    target = replace(lora_drop(2, threshold=1e-9, stage=0.3), placement=placement("q_proj,up_proj"))
    r = begin(deep(tiny_base), tiny_splits, TrainSpec(target, lr=1e-2, steps=4, batch=4, clip=0))
    try:
        r.train_step()
        groups = r.events.contexts[0].state["groups"]
        assert [len(members) for members in groups.values()] == [4, 4], "one of five keeps its own"
        slots = r.trainee.handle.slots
        for member in (m for members in groups.values() for m in members):
            assert torch.equal(slots[member].factors["A"], slots[leader_of(groups, member)].factors["A"])
        while not r.window_complete:
            (nll,) = r.trainee.forward.nll_many([(r.trainee.name, r.next_batch())])
            r.share(nll.sum()).backward()
            r.passed(float(nll.detach().sum()))
        sums = {k: sum(slots[m].factors["B"].grad for m in members) for k, members in groups.items()}
        r.close_window()
        for leader, members in groups.items():
            state = r.optimizer.state[slots[leader].factors["B"]]
            torch.testing.assert_close(state["exp_avg"], 0.1 * sums[leader], rtol=1e-5, atol=1e-9)
            for member in members[1:]:
                assert slots[member].factors["B"] not in r.optimizer.state
                assert torch.equal(slots[member].factors["B"], slots[leader].factors["B"])
    finally:
        r.close()


def leader_of(groups, member):
    return next(leader for leader, members in groups.items() if member in members)


def test_lora_drops_log_says_how_many_share_and_what_is_left_to_train(tiny_base, tiny_splits):
    """At the defaults the two layers of the tiny model share nothing, and the line says so."""
    plain = train(tiny_base, TrainSpec(lora_drop(), lr=1e-3, steps=12, batch=4), tiny_splits)
    chosen, *_ = summarize(plain.events)
    said = chosen["effect"].split("; ")
    assert said[0].startswith("importance of 14, 0.")
    assert said[1:4] == ["shared 0 of 14", "sharing none", f"trainable {plain.trainable}"]
    some = train(tiny_base, spec("lora_drop", rank=2, threshold=0.6, stage=0.25), tiny_splits)
    record = some.events[0]
    assert record["shared"] == f"{len(record['sharing'])} of 14"
    kinds = {name.rpartition(".")[2] for name in record["sharing"]}
    assert 0 < record["trainable"] <= some.trainable
    assert (record["trainable"] == some.trainable) == (len(kinds) == len(record["sharing"]))


@pytest.mark.parametrize("shared", ["trainable", "frozen", "none"])
def test_lora_drop_counts_one_adapter_for_those_that_share(shared, tiny_splits, tiny_base):
    """Five layers of two kinds, each kind with one of its own and four that share."""
    target = replace(lora_drop(2, threshold=1e-9, stage=0.3, shared=shared), placement=placement("q_proj,o_proj"))
    r = begin(deep(tiny_base), tiny_splits, TrainSpec(target, lr=1e-2, steps=4, batch=4))
    try:
        for _ in range(4):
            r.train_step()
        record = r.result.events[0]
        assert record["trainable"] == r.result.trainable * (4 if shared == "trainable" else 2) // 10
        slots = r.trainee.handle.slots
        moved = {name for name, slot in slots.items() if slot.factors["B"].any()}
        assert (moved == set(slots)) == (shared == "trainable")
        left = [slots[name].factors["A"].any() for name in record["sharing"]]
        assert all(left) if shared != "none" else not any(left), "none has no start either"
    finally:
        r.close()


def test_lora_drop_frozen_leaves_the_rest_at_their_start(tiny_base, tiny_splits):
    result = begin(
        tiny_base,
        tiny_splits,
        TrainSpec(lora_drop(2, threshold=0.6, stage=0.25, shared="frozen"), lr=1e-2, steps=4, batch=4),
    )
    try:
        for _ in range(4):
            result.train_step()
        for members in result.events.contexts[0].state["groups"].values():
            for member in members:
                assert not result.trainee.handle.slots[member].factors["B"].any()
    finally:
        result.close()


# AFLoRA 4.2


def test_aflora_freezes_what_has_settled_and_never_thaws(tiny_base, tiny_splits):
    event = ProgressiveFreezing(begin=0.2, rest=0.2)
    shares = [event.frozen_share(step, 20) for step in range(21)]
    assert shares[4] == 0
    assert shares[16] == shares[20] == 1
    assert shares == sorted(shares)
    r = begin(tiny_base, tiny_splits, spec("aflora", steps=10, rank=4))
    try:
        kept, counts = {}, []
        for _ in range(10):
            r.train_step()
            for key, value in kept.items():
                module, factor = key.split(":")
                assert torch.equal(r.trainee.handle.slots[module].factors[factor], value)
            frozen = r.events.contexts[0].state.get("frozen", [])
            assert frozen[: len(kept)] == list(kept)
            kept |= {k: r.trainee.handle.slots[k.split(":")[0]].factors[k[-1]].detach().clone() for k in frozen}
            counts.append(len(frozen))
        assert counts[0] == 0
        assert counts[-1] == 2 * 14
        assert counts == sorted(counts)
        before = {name: p.detach().clone() for name, p in r.trainee.parameters.items()}
    finally:
        r.close()
    assert {name[-1] for name in before} == set("ABdb")


def test_aflora_can_leave_the_feed_forward_blocks_training(tiny_base, tiny_splits):
    r = begin(tiny_base, tiny_splits, TrainSpec(aflora(4, scope="attention"), lr=1e-2, steps=6, batch=4))
    try:
        for _ in range(6):
            r.train_step()
        frozen = r.events.contexts[0].state["frozen"]
        assert len(frozen) == 2 * 8
        assert all(".self_attn." in key for key in frozen)
    finally:
        r.close()


# BiLoRA 7.2


def test_bilora_levels_read_disjoint_data_and_move_their_own_factors(tiny_base, tiny_splits):
    from rankwise.engine.batches import window

    event = TwoLevels(lower=2, upper=0.25)
    lower, upper = event.parts(40, seed=3)
    assert set(lower).isdisjoint(upper)
    assert sorted(lower + upper) == list(range(40))
    assert len(upper) == 10
    one = TrainSpec(bilora(4, lower=2, upper=0.25), lr=1e-2, steps=6, batch=4, seed=3)
    read = [window(one, 40, step) for step in range(30)]
    for step, indices in enumerate(read):
        assert set(indices) <= set(upper if step % 3 == 2 else lower)
    assert sorted(i for step in (2, 5, 8) for i in read[step]) == upper, "an epoch of its own: 4 + 4 + 2"
    r = begin(tiny_base, tiny_splits, one)
    try:
        for step in range(4):
            before = {name: p.detach().clone() for name, p in r.trainee.parameters.items()}
            r.train_step()
            moved = {
                name.rpartition(".")[2] for name, p in r.trainee.parameters.items() if not torch.equal(p, before[name])
            }
            assert moved == ({"e"} if step % 3 == 2 else {"A", "B"})
    finally:
        r.close()


def test_bilora_with_one_data_set_is_joint_alternating_training(tiny_base, tiny_splits, monkeypatch):
    """D1 = D2: what is left is AdamW on A and B, then on e, each with its own moments, on batches of its own epochs."""
    from rankwise.engine.batches import collate, window
    from rankwise.engine.events.driver import add_penalties

    monkeypatch.setattr(TwoLevels, "parts", lambda self, n, seed: (list(range(n)), list(range(n))))
    one = TrainSpec(bilora(4, lower=2), lr=1e-2, steps=6, batch=4, clip=0, seed=3)
    runs = [begin(tiny_base, tiny_splits, one)]
    try:
        for _ in range(6):
            runs[0].train_step()
        found = {name: p.detach().clone() for name, p in runs[0].trainee.parameters.items()}
    finally:
        runs.pop().close()
    runs.append(begin(tiny_base, tiny_splits, replace(one, target=replace(one.target, events=()))))
    try:
        trainee = runs[0].trainee
        levels = {upper: [p for n, p in trainee.parameters.items() if n.endswith(".e") == upper] for upper in (0, 1)}
        rules = {upper: torch.optim.AdamW(own, lr=1e-2, weight_decay=0.0) for upper, own in levels.items()}
        for step in range(6):
            examples = [tiny_splits.train[i] for i in window(one, len(tiny_splits.train), step)]
            add_penalties(trainee.handle, step + 1, 6)
            (nll,) = trainee.forward.nll_many([(trainee.name, collate(examples, torch.device("cpu")))])
            nll.mean().backward()
            rules[step % 3 == 2].step()
            for p in trainee.parameters.values():
                p.grad = None
        for name, p in trainee.parameters.items():
            torch.testing.assert_close(found[name], p.detach(), rtol=1e-3, atol=1e-5)
    finally:
        runs.pop().close()


def test_biloras_sigmoid_gates_have_the_entropy_penalty_and_it_acts_on_e_alone(tiny_base, tiny_splits):
    """Entropy: ln 2 at a half, 0 at the ends, checked against torch's; moved in upper steps alone."""
    e = torch.tensor([0.0, 2.0, -30.0], dtype=torch.float64)
    value = GateEntropy().value({"a": {"e": e[:2]}, "b": {"e": e[2:]}})
    torch.testing.assert_close(value, torch.distributions.Bernoulli(logits=e).entropy().mean())
    assert GateEntropy().value({"a": {"e": e[:1]}}).item() == pytest.approx(math.log(2))
    assert not [p for p in bilora().penalties if p.name == "gate-entropy"]
    target = bilora(4, values="sigmoid")
    assert [p.name for p in target.penalties] == ["orthogonality", "gate-entropy"]
    strong = replace(target, penalties=(GateEntropy(1e3),))
    r = begin(tiny_base, tiny_splits, TrainSpec(strong, lr=0.1, steps=12, batch=4))
    try:
        with torch.no_grad():
            for slot in r.trainee.handle.slots.values():
                slot.factors["e"].copy_(torch.tensor([0.5, 0.4, -0.4, -0.5]))
        for _ in range(12):
            r.train_step()
        for slot in r.trainee.handle.slots.values():
            assert (slot.factors["e"].abs() > torch.tensor([0.5, 0.4, 0.4, 0.5]) + 0.3).all(), "away from a half"
    finally:
        r.close()


def test_xgbloras_scale_is_loras():
    assert xgblora().s == lora().s == 2.0


def test_aflora_starts_from_the_rate_that_vectors_want():
    from rankwise.methods import vera
    from rankwise.studies.presets.scales import grid

    assert grid("quick", aflora()) == grid("quick", vera()) == (3e-3, 1e-2, 3e-2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: adalora(4, target=5), "target must be at most the rank it starts from, 4, found 5"),
        (lambda: RankAllocator(warm=0.6, final=0.4), r"warm \+ final must be below 1"),
        (lambda: RankAllocator(beta1=1.0), r"beta1 must be a number in \(0, 1\), found 1.0"),
        (lambda: sora(4, xi=0), r"xi must be a number in \(0, 1e\+30\)"),
        (lambda: sora(4, xi=0.1, last=0.01), "last must be at least xi"),
        (lambda: prilora(4, spread=1), r"spread must be in \[0, 1\)"),
        (lambda: roselora(4, keep=0), "keep must be a number"),
        (lambda: sparse_adapter(4, by="grasp"), "unknown score 'grasp'"),
        (lambda: lora_drop(4, shared="all"), "unknown shared 'all'"),
        (lambda: SoftThreshold(last=0.1, total=0.5), "total and last both say how xi goes"),
        (lambda: Variance(until=0), r"until of penalty 'variance' must be a number in \(0, 1\], found 0"),
        (lambda: replace(bilora(4), penalties=(GateEntropy(0.1),)), "needs gates between 0 and 1.*with 'real'"),
        (lambda: bilora(4, lower=0), "lower must be a whole number of at least 1"),
    ],
)
def test_illegal_choices_are_one_sentence(make, words):
    with pytest.raises(UsageError, match=words):
        make()
