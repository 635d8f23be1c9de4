"""Events: they fire when they say, do what they say, are recorded, resume exactly and never touch a neighbor."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from rankwise.adapters import attach, load
from rankwise.adapters.events import Event, MergeAndRestart
from rankwise.adapters.penalties import Orthogonality
from rankwise.engine import Forward, PackJob, RunResult, TrainSpec, evaluate, train, train_pack
from rankwise.engine.run import Run
from rankwise.errors import RunError, UsageError
from rankwise.methods import adalora, dora, eva, loftq, lora, lora_fa, lora_plus, lora_xs, olora, qlora, rslora, vera
from rankwise.models import fingerprint

from .packing import alone, packed, resumed_is_undisturbed, same, spec

EVERY_2 = replace(lora(rank=4), events=(MergeAndRestart(2),))


@dataclass(frozen=True)
class Noisy(Event):
    """Adds noise to B at every step from a given one, keeps a running mean, and counts."""

    name: ClassVar[str] = "noisy"
    begin: int = 1

    def after_step(self, ctx, step):
        if step < self.begin:
            return
        with ctx.firing(measure=False) as note:
            for module in ctx.modules:
                B = ctx.factors(module)["B"]
                mean = ctx.state.get(f"mean.{module}", torch.zeros_like(B))
                ctx.state[f"mean.{module}"] = mean = mean + (B - mean) / 2
                ctx.write(module, {"B": B + 1e-3 * torch.randn(B.shape, generator=ctx.generator) + 0.1 * mean})
            ctx.state["count"] = ctx.state.get("count", 0) + 1
            note["count"] = ctx.state["count"]


@dataclass(frozen=True)
class Moments(Event):
    """Records when each moment comes."""

    name: ClassVar[str] = "moments"
    every: int = 2

    @property
    def interval(self):
        return self.every

    def _say(self, ctx):
        with ctx.firing(measure=False) as note:
            note["gradients"] = sum(len(ctx.gradients(m)) for m in ctx.modules)

    def after_backward(self, ctx):
        self._say(ctx)

    def before_step(self, ctx):
        self._say(ctx)

    def after_step(self, ctx, step):
        assert step == ctx.step
        self._say(ctx)

    def at_interval(self, ctx, step):
        self._say(ctx)

    def at_end(self, ctx):
        self._say(ctx)


@dataclass(frozen=True)
class Drift(Event):
    """W <- 1.001 W of a private base after every step."""

    name: ClassVar[str] = "drift"
    owns_base: ClassVar[bool] = True

    def after_step(self, ctx, step):
        with ctx.firing() as note:
            for module in ctx.modules:
                ctx.write_base(module, 1.001 * ctx.W0(module))
            note["modules"] = len(ctx.modules)


def run_for(base, splits, target, **changes):
    return Run(base, Forward(base.model), TrainSpec(target, **{"lr": 1e-2, "steps": 6, "batch": 4, **changes}), splits)


def test_moments_come_in_order_and_gradients_are_there(tiny_base, tiny_splits):
    target = replace(lora(rank=2), events=(Moments(),))
    seen = []
    result = train(tiny_base, TrainSpec(target, lr=1e-2, steps=5, batch=4), tiny_splits, observe=seen.append)
    usual = ["after_backward", "before_step", "after_step"]
    expected = [(s, m) for s in range(1, 6) for m in [*usual, *["at_interval"] * (s % 2 == 0), *["at_end"] * (s == 5)]]
    assert [(e["step"], e["moment"]) for e in result.events] == expected
    assert {e["gradients"] for e in result.events} == {2 * 14}
    assert [r for r in seen if r.get("event") == "moments"] == result.events


def test_merge_and_restart(tiny_base, tiny_splits):
    """The merge leaves the model as it was to the bit, the factors are new, the optimizer of both is empty."""
    run = run_for(tiny_base, tiny_splits, EVERY_2)
    try:
        start = run.trainee.snapshot()
        run.train_step()
        run.events.contexts[0].event, plain = Moments(every=99), run.events.contexts[0].event
        run.train_step()  # without the merge
        before = run.trainee.snapshot()
        delta = {m: run.trainee.handle.delta(m) for m in run.trainee.handle.layers}
        loss = run.run_view.probe()
        context = run.events.contexts[0]
        context.event = plain
        context.at("at_interval", 2)
        plain.at_interval(context, 2)
        assert run.run_view.probe() == loss
        for module, dense in delta.items():
            assert torch.equal(run.trainee.handle.delta(module), dense)
        for name, p in run.trainee.parameters.items():
            assert p not in run.optimizer.state
            assert not p.any() if name.endswith(".B") else not torch.equal(p, before[name])
            assert not torch.equal(p, start[name]) or name.endswith(".B")
        run.train_step()
        assert {float(run.optimizer.state[p]["step"]) for p in run.parameters} == {1.0}
    finally:
        run.trainee.close()


def test_rank_grows_with_every_merge_and_saves_as_plain_lora(tiny_base, tiny_splits, tmp_path):
    before = fingerprint(tiny_base.model)
    run = TrainSpec(EVERY_2, lr=1e-2, steps=6, batch=4)
    result = train(tiny_base, run, tiny_splits, test=True, save_to=tmp_path)
    assert [e["step"] for e in result.events] == [2, 4], "a merge at the last step would train nothing after it"
    for k, event in enumerate(result.events, 1):
        assert set(event["ranks_before"].values()) == {4 * k}
        assert set(event["ranks_after"].values()) == {4 * (k + 1)}
        assert event["probe_loss_after"] == pytest.approx(event["probe_loss_before"], abs=1e-5)
        assert event["update_norm_after"] == pytest.approx(event["update_norm_before"], rel=1e-6)
        assert event["update_norm_before"] > 0
    assert fingerprint(tiny_base.model) == before
    handle = load(tiny_base.model, tmp_path)
    assert handle.adapter.rank == 12
    assert handle.adapter.s == pytest.approx(EVERY_2.s)
    values = torch.linalg.svdvals(handle.delta("model.layers.0.self_attn.q_proj").double())
    assert int((values > 1e-6 * values[0]).sum()) == 12
    again = evaluate(Forward(tiny_base.model), tiny_splits.test)
    handle.detach()
    assert again.nll == pytest.approx(result.test.nll, abs=1e-4)
    from peft import PeftConfig

    assert PeftConfig.from_pretrained(tmp_path).r == 12


def test_without_a_merge_in_reach_it_is_lora(tiny_base, tiny_splits):
    run = TrainSpec(replace(lora(rank=4), events=(MergeAndRestart(99),)), lr=1e-2, steps=3, batch=4)
    assert train(tiny_base, run, tiny_splits) == train(tiny_base, replace(run, target=lora(rank=4)), tiny_splits)


EVENTFUL = {
    "every 2": spec(replace(EVERY_2, dropout=0.1), eval_steps=(1, 3, 5), micro_batch=3),
    "every 3": spec(replace(rslora(rank=3), events=(MergeAndRestart(3), Noisy(2))), batch=7, eval_steps=(2, 4)),
    "noisy": spec(replace(lora_plus(rank=2), events=(Noisy(),)), lr=1e-3, steps=4, batch=3, eval_steps=(1, 2)),
    "penalty": spec(replace(lora(rank=4), penalties=(Orthogonality(0.5), Orthogonality(0.1, squared=False)))),
    "plain": spec(dora(rank=2), batch=5),
}


@pytest.mark.exactness
@pytest.mark.slow  # tests/events/test_every_method.py packs every method's
def test_packed_is_alone_with_events_at_different_steps(tiny_base, tiny_splits, tmp_path):
    by_itself = alone(tiny_base, tiny_splits, EVENTFUL, tmp_path / "alone")
    same(by_itself, packed(tiny_base, tiny_splits, EVENTFUL, tmp_path / "packed"))
    same(by_itself, packed(tiny_base, tiny_splits, dict(reversed(EVENTFUL.items())), tmp_path / "two", width=2))
    assert [e["count"] for e in by_itself[0]["noisy"].events if e["event"] == "noisy"] == [1, 2, 3, 4]


@pytest.mark.exactness
@pytest.mark.parametrize("name", ["every 2", "every 3", "noisy", "penalty"])
def test_resumed_equals_undisturbed(name, tiny_base, tiny_splits, tmp_path):
    whole = resumed_is_undisturbed(tiny_base, tiny_splits, EVENTFUL[name], tmp_path)
    assert RunResult.from_dict(json.loads(json.dumps(whole.to_dict()))) == whole


def test_an_owner_trains_on_a_private_copy_of_the_adapted_weights_only(tiny_base, tiny_splits, tmp_path):
    from transformers import AutoModelForCausalLM

    before = fingerprint(tiny_base.model)
    target = replace(lora(rank=2, placement="attention"), events=(Drift(),))
    run = run_for(tiny_base, tiny_splits, target)
    shared = {id(p) for p in tiny_base.model.parameters()}
    private = [n for n, p in run.trainee.private.model.named_parameters() if id(p) not in shared]
    run.trainee.close()
    assert all(
        "adapters" in n or n.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight"))
        for n in private
    )

    one = TrainSpec(target, lr=1e-2, steps=4, batch=4, eval_steps=(2,))
    whole = train(tiny_base, one, tiny_splits, test=True, save_to=tmp_path / "whole")
    assert fingerprint(tiny_base.model) == before
    assert len(whole.events) == 4
    plain = train(tiny_base, replace(one, target=replace(target, events=())), tiny_splits)
    assert whole.losses[0] == plain.losses[0]
    assert whole.losses[1] != plain.losses[1]
    # packed with others it waits for its turn; resumed it has its weights back
    jobs = [PackJob(spec(lora(rank=2))), PackJob(one, test=True), PackJob(spec(lora(rank=3)))]
    assert train_pack(tiny_base, jobs, tiny_splits)[1] == whole
    train(tiny_base, one, tiny_splits, test=True, folder=tmp_path / "run", until=2)
    assert train(tiny_base, one, tiny_splits, test=True, folder=tmp_path / "run") == whole
    # what is saved is the whole model, adapter and drift included
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    assert evaluate(Forward(model.eval()), tiny_splits.test).nll == pytest.approx(whole.test.nll, abs=1e-3)


def test_changes_outside_a_firing_and_writes_to_a_shared_base_are_refused(tiny_base, tiny_splits):
    run = run_for(tiny_base, tiny_splits, EVERY_2)
    context = run.events.contexts[0]
    module = context.modules[0]
    try:
        with pytest.raises(RunError, match=r"called write outside of 'with ctx.firing\(\)'"):
            context.write(module, {})
        with pytest.raises(RunError, match="declare owns_base"), context.firing(measure=False):
            context.write_base(module, context.W0(module))
        before = tiny_base.model.get_submodule(module).weight.clone()
        context.W0(module).zero_()
        context.factors(module)["A"].zero_()
        assert torch.equal(tiny_base.model.get_submodule(module).weight, before)
        assert context.factors(module)["A"].any()
    finally:
        run.trainee.close()


def test_optimizer_rows(tiny_base, tiny_splits):
    """Moments are pruned by row or column and carried along by a permutation exactly."""
    run = run_for(tiny_base, tiny_splits, replace(lora(rank=4), events=(MergeAndRestart(99),)))
    context = run.events.contexts[0]
    module = context.modules[3]
    try:
        run.train_step()
        A, B = (run.trainee.handle.slots[module].factors[f] for f in "AB")
        before = {f: {k: v.clone() for k, v in run.optimizer.state[p].items()} for f, p in (("A", A), ("B", B))}
        order = torch.tensor([2, 0, 3, 1])
        with context.firing(measure=False):
            context.transport_optimizer(module, "A", -torch.eye(4)[order])
            context.transport_optimizer(module, "B", torch.eye(4)[order], dim=1)
            context.prune_optimizer(module, "B", torch.tensor([True, False, True, True]), dim=1)
        assert before["B"]["exp_avg"].any()
        assert torch.equal(run.optimizer.state[A]["exp_avg"], -before["A"]["exp_avg"][order])
        assert torch.equal(run.optimizer.state[A]["exp_avg_sq"], before["A"]["exp_avg_sq"][order])
        kept = before["B"]["exp_avg"][:, order]
        kept[:, 1] = 0
        assert torch.equal(run.optimizer.state[B]["exp_avg"], kept)
    finally:
        run.trainee.close()


def test_an_orthogonality_penalty_makes_factors_orthonormal(tiny_base, tiny_splits):
    """Alone in the loss's neighborhood the Gram matrices go to I; it is logged apart from the loss."""

    def distance(weight):
        extra = (Orthogonality(weight),) if weight else ()
        run = run_for(tiny_base, tiny_splits, replace(lora(rank=2), penalties=extra), lr=3e-2, steps=25, clip=0)
        try:
            losses = [run.train_step() for _ in range(25)]
            factors = {path: slot.factors for path, slot in run.trainee.handle.slots.items()}
            return float(Orthogonality().value(factors).detach()), losses, run.result.penalties
        finally:
            run.trainee.close()

    free, losses, none = distance(0)
    held, with_penalty, logged = distance(30.0)
    assert none == {}
    assert losses[0] == with_penalty[0], "the penalty is not part of the reported loss"
    values = logged["orthogonality"]
    assert len(values) == 25
    assert values[0] == pytest.approx(30 * 1.0 * (2 + 0.9) / 2, rel=0.3)  # B = 0 gives |0 - I|^2 = rank
    assert held < 0.3 * free


def test_adaloras_penalty_acts_on_its_own_form_too(tiny_base, tiny_splits):
    with_it = TrainSpec(adalora(rank=4), lr=1e-2, steps=3, batch=4)
    plain = replace(with_it, target=replace(with_it.target, penalties=()))
    one, two = (train(tiny_base, s, tiny_splits) for s in (plain, with_it))
    assert one.losses[0] == two.losses[0]
    assert one.losses[-1] != two.losses[-1]
    assert len(two.penalties["orthogonality"]) == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MergeAndRestart(0), "every must be a whole number of at least 1"),
        (
            lambda: replace(olora(rank=2), events=(MergeAndRestart(2),)),
            "does not edit it, such as 'kaiming', found 'olora'",
        ),
        (lambda: replace(dora(rank=2), events=(MergeAndRestart(2),)), "needs parametrization 'low-rank', found"),
        (lambda: replace(lora_fa(), events=(MergeAndRestart(2),)), "so both must train; found training B only"),
        (lambda: replace(eva(), events=(MergeAndRestart(2),)), "does not look at data, such as 'kaiming', found 'eva'"),
        (lambda: replace(loftq(), events=(MergeAndRestart(2),)), "does not edit it, such as 'kaiming', found 'loftq'"),
        (lambda: replace(vera(), penalties=(Orthogonality(),)), "'vera' does not have; use 'low-rank' or 'diagonal'"),
        (lambda: replace(lora_xs(), penalties=(Orthogonality(),)), "of which one must train; found training C only"),
        (lambda: replace(qlora(), events=(Drift(),)), "writes W0 and needs it as it is, .* found storage 'nf4'"),
        (lambda: replace(lora(), events=("relora",)), "events must hold objects of class Event"),
        (lambda: replace(lora(), penalties=(MergeAndRestart(2),)), "penalties must hold objects of class Penalty"),
        (lambda: Orthogonality(0), "weight of penalty 'orthogonality' must be a positive number"),
    ],
)
def test_illegal_choices_are_one_sentence(make, words):
    with pytest.raises(UsageError, match=words):
        make()


def test_specs_keep_their_form_without_events_and_survive_json_with_them():
    assert set(lora().to_dict()) == {
        *("rank", "alpha", "dropout", "parametrization", "init", "scaling", "placement", "optimizer")
    }
    target = replace(lora(), events=(MergeAndRestart(5),), penalties=(Orthogonality(0.5, squared=False),))
    run = TrainSpec(target, lr=1e-3, steps=3)
    assert TrainSpec.from_dict(json.loads(json.dumps(run.to_dict()))) == run
    assert hash(target) != hash(lora())
    assert "merge and restart every 5 steps, penalty 0.5 orthogonality" in repr(target)


def test_a_merged_slot_merges_and_unmerges_like_any_other(tiny_base):
    from rankwise.adapters.parametrizations.frozen_pairs import freeze_update

    handle = attach(tiny_base.model, lora(rank=2), seed=0)
    module = next(iter(handle.layers))
    weight = tiny_base.model.get_submodule(module).weight.clone()
    try:
        with torch.no_grad():
            for p in handle.trainable().values():
                p.add_(0.05)
            for slot in handle.slots.values():
                freeze_update(slot)
                slot.factors["A"].add_(0.03)
        ids = torch.arange(40, 60)[None]
        with torch.no_grad():
            beside = tiny_base.model(ids).logits
            handle.merge()
            inside = tiny_base.model(ids).logits
            handle.unmerge()
        torch.testing.assert_close(inside, beside, atol=1e-4, rtol=1e-4)
        assert torch.equal(tiny_base.model.get_submodule(module).weight, weight)
    finally:
        handle.detach()
