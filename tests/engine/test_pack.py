"""A pack changes nothing: losses, gradients, scores and weights of every run are those it has alone, bit for bit."""

import pytest
import torch

from rankwise.adapters import Full
from rankwise.engine import Forward, PackJob, TrainSpec, train, train_pack
from rankwise.methods import lora
from rankwise.models import fingerprint, load_base

from .packing import MIX, alone, packed, same, spec

pytestmark = pytest.mark.exactness


@pytest.fixture(
    scope="module",
    params=[torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.slow)],
    ids=["float32", "bfloat16"],
)
def base(request):
    return load_base("tiny", dtype=request.param)


@pytest.fixture(scope="module")
def by_itself(base, tiny_splits, tmp_path_factory):
    """Every run of the mix alone."""
    return alone(base, tiny_splits, MIX, tmp_path_factory.mktemp("alone"))


def test_the_mix_is_a_real_mix(by_itself):
    results, tensors = by_itself
    assert results["diverges"].status == "diverged"
    assert not tensors["diverges"]
    for name, result in results.items():
        assert len(result.events) >= len(result.losses) > 0
        assert name == "diverges" or (result.status == "done" and tensors[name])
        hashes = [event["gradients"] for event in result.events]
        assert len(set(hashes)) == len(hashes)
    assert len({tuple(r.losses) for r in results.values()}) == len(MIX)


def test_packed_is_alone(base, by_itself, tiny_splits, tmp_path):
    before = fingerprint(base.model)
    same(by_itself, packed(base, tiny_splits, MIX, tmp_path))
    assert fingerprint(base.model) == before
    assert not any(".adapters." in name for name, _ in base.model.named_modules())


def test_another_order_and_late_joiners(base, by_itself, tiny_splits, tmp_path):
    """Two members: every run but two joins when another has left, somewhere inside its neighbor's window."""
    backwards = dict(reversed(MIX.items()))
    same(by_itself, packed(base, tiny_splits, backwards, tmp_path, width=2))


def test_other_neighbors(base, by_itself, tiny_splits, tmp_path):
    some = {name: MIX[name] for name in ("dora", "diverges", "lora_plus")}
    strangers = {f"stranger {i}": spec(lora(rank=2 + i, dropout=0.5), batch=1 + i, seed=i) for i in range(3)}
    same(by_itself, packed(base, tiny_splits, strangers | some, tmp_path), some)


def test_a_budget_holds_runs_back_and_changes_nothing(base, by_itself, tiny_splits, tmp_path):
    names = ["lora", "short", "olora"]
    jobs = [PackJob(MIX[n], test=True, save_to=tmp_path / n, bytes=10) for n in names]
    results = train_pack(base, jobs, tiny_splits, budget=15)
    assert results == [by_itself[0][name] for name in names]


def test_full_fine_tuning_goes_through_the_same_loop_alone(tiny_base, tiny_splits):
    specs = [MIX["lora"], TrainSpec(Full(), lr=1e-3, steps=3, batch=4, micro_batch=2), MIX["dora"]]
    together = train_pack(tiny_base, [PackJob(s, test=True) for s in specs], tiny_splits)
    assert together == [train(tiny_base, s, tiny_splits, test=True) for s in specs]


def test_nll_many_sees_one_adapter_per_part(tiny_base, tiny_splits):
    """Two adapters are attached; every part is computed with its own only, and None with neither."""
    from rankwise.adapters import attach
    from rankwise.engine.batches import collate

    batch = collate(tiny_splits.train[:3])
    forward = Forward(tiny_base.model)
    untouched = forward.nll(batch)
    handles = [attach(tiny_base.model, lora(rank=2), seed=i, name=f"a{i}") for i in range(2)]
    try:
        expected = []
        for handle, other in (handles, handles[::-1]):
            with torch.no_grad():
                for p in handle.trainable().values():
                    p.add_(0.05)
            with other.disable():
                expected.append(forward.nll(batch))
        parts = forward.nll_many([("a1", batch), (None, batch), ("a0", batch)])
    finally:
        for handle in handles:
            handle.detach()
    assert not torch.equal(expected[0], expected[1])
    # the second adapter had not moved yet when the first was scored alone: disabled, it must not matter
    for got, want in zip(parts, (expected[1], untouched, expected[0]), strict=True):
        assert torch.equal(got, want)


def test_dropout_is_off_when_scoring(tiny_base, tiny_splits, tmp_path):
    from rankwise.adapters import load
    from rankwise.engine import evaluate

    run = TrainSpec(lora(rank=4, dropout=0.5), lr=1e-2, steps=2, batch=4)
    result = train(tiny_base, run, tiny_splits, test=True, save_to=tmp_path)
    handle = load(tiny_base.model, tmp_path)
    again = evaluate(Forward(tiny_base.model), tiny_splits.test)
    handle.detach()
    assert again.nll == pytest.approx(result.test.nll, rel=1e-6)
