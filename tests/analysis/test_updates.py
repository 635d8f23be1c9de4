"""What a watch keeps of a run: updates are the adapter's own, thin where they can be, and nothing is disturbed."""

import pytest
import torch

from rankwise.adapters import Full, attach
from rankwise.analysis.bench import Bench, updates
from rankwise.analysis.one_sided import OneSided
from rankwise.analysis.request import Request
from rankwise.analysis.subspace_trainee import SubspaceTrainee
from rankwise.analysis.updates import spread, update_of
from rankwise.engine import Forward, PackJob, TrainSpec, Watch, train, train_pack
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.methods import dora, lora, olora, pissa, rslora
from rankwise.models import fingerprint, tiny_model

NAME = "model.layers.1.self_attn.v_proj"


@pytest.mark.parametrize(
    "adapter", [lora(4), rslora(3), olora(4, alpha=8), pissa(4), dora(4)], ids=lambda a: a.init.name
)
def test_an_update_is_what_the_adapter_adds(adapter):
    model = tiny_model(dtype=torch.float64)
    handle = attach(model, adapter)
    with torch.no_grad():
        for p in handle.trainable().values():
            p += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1), dtype=p.dtype)
    update = update_of(handle.slots[NAME])
    torch.testing.assert_close(update.matrix, handle.delta(NAME), rtol=1e-11, atol=1e-12)
    dense = torch.linalg.svdvals(handle.delta(NAME))
    torch.testing.assert_close(update.sigma, dense[: len(update.sigma)], rtol=1e-10, atol=1e-12)
    U, sigma, V = update.svd
    torch.testing.assert_close((U * sigma) @ V.T, handle.delta(NAME), rtol=1e-10, atol=1e-11)


def test_spread_takes_first_middle_and_last_of_every_kind():
    names = [f"layers.{k}.{kind}" for k in range(5) for kind in ("q", "v")]
    assert spread(names, 3) == ["layers.0.q", "layers.0.v", "layers.2.q", "layers.2.v", "layers.4.q", "layers.4.v"]
    assert spread(names, 1) == ["layers.0.q", "layers.0.v"]
    assert spread(names, 9) == names


class Seen(Watch):
    def __init__(self):
        self.steps, self.norms = [], []

    def gradients(self, step, trainee):
        self.norms.append(float(torch.nn.utils.get_total_norm([p.grad for p in trainee.parameters.values()])))

    def weights(self, step, trainee):
        self.steps.append(step)


@pytest.mark.parametrize("target", [lora(4), Full()], ids=["lora", "full"])
def test_watching_changes_no_bit(tiny_base, tiny_splits, target):
    spec = TrainSpec(target=target, lr=1e-2, steps=3, batch=4)
    seen = Seen()
    watched = train(tiny_base, spec, tiny_splits, watch=seen)
    assert watched.to_dict() == train(tiny_base, spec, tiny_splits).to_dict()
    assert seen.steps == [1, 2, 3]
    assert len(seen.norms) == 3
    assert all(norm > 0 for norm in seen.norms)


def test_a_bench_keeps_updates_of_both_kinds_of_training_and_leaves_the_base(tiny_base):
    bench = Bench(Request(scale="smoke"), Progress())
    before = fingerprint(bench.base.model)
    for target in (lora(2), Full()):
        trial = bench.trial("run", target, "word-problems", look=[NAME], at=(1,))
        assert sorted(trial.updates) == [1, bench.steps]
        assert 0 < float(trial.updates[1][NAME].sigma[0]) < float(trial.last[NAME].sigma[0])
        assert trial.curve[0] == (0, bench.base_nll("word-problems"))
    assert fingerprint(bench.base.model) == before


@pytest.mark.parametrize(("trains", "frozen"), [("A", "B"), ("B", "A")])
def test_one_sided_training_moves_one_factor_only(tiny_base, tiny_splits, trains, frozen):
    trainee = OneSided(tiny_base.model, Forward(tiny_base.model), lora(4), 0, trains=trains)
    assert {name.rsplit(".", 1)[1] for name in trainee.parameters} == {trains}
    slot = trainee.handle.slots[NAME]
    start = slot.factors[frozen].detach().clone()
    gram = start @ start.T if frozen == "A" else start.T @ start
    torch.testing.assert_close(gram, torch.eye(4), rtol=0, atol=1e-5)
    assert not slot.delta().any(), "the model is unchanged at the start"
    train(tiny_base, TrainSpec(target=lora(4), lr=1e-2, steps=2, batch=4), tiny_splits, trainee=trainee)
    assert trainee.handle.layers, "its maker closes it"
    trainee.close()
    assert torch.equal(slot.factors[frozen], start)
    assert slot.factors[frozen].grad is None
    assert slot.factors[trains].any()


@pytest.mark.parametrize("layerwise", [False, True], ids=["DID", "SAID"])
def test_the_gradient_of_the_subspace_is_a_finite_difference(tiny_splits, layerwise):
    from rankwise.engine.batches import collate

    model = tiny_model(dtype=torch.float32)
    names = [NAME, "model.layers.0.self_attn.q_proj"]
    trainee = SubspaceTrainee(model, Forward(model), names, 6, seed=1, layerwise=layerwise)
    assert torch.equal(
        trainee.model.model.layers[1].self_attn.v_proj.weight, model.model.layers[1].self_attn.v_proj.weight
    )
    batch = collate(tiny_splits.train[:4])
    with torch.no_grad():
        trainee.z += 0.3
    trainee.after_step()
    trainee.forward.nll(batch).sum().backward()
    for name, p in trainee.parameters.items():
        for k in range(len(p)):
            losses = []
            for step in (1e-2, -1e-2):
                with torch.no_grad():
                    p[k] += step
                trainee.after_step()
                losses.append(float(trainee.forward.nll(batch).detach().double().sum()))
                with torch.no_grad():
                    p[k] -= step
            difference = (losses[0] - losses[1]) / 2e-2
            assert float(p.grad[k]) == pytest.approx(difference, rel=0.02, abs=0.05), name


def test_the_subspace_moves_only_its_modules(tiny_base, tiny_splits):
    before = fingerprint(tiny_base.model)
    trainee = SubspaceTrainee(tiny_base.model, Forward(tiny_base.model), [NAME], 8, seed=1)
    own = trainee.model
    spec = TrainSpec(target=Full(), lr=0.5, steps=2, batch=4)
    neighbor = TrainSpec(target=lora(4), lr=1e-2, steps=2, batch=4)
    jobs = [PackJob(neighbor), PackJob(spec, trainee=trainee), PackJob(neighbor)]
    one, result, two = train_pack(tiny_base, jobs, tiny_splits)
    assert one == two == train(tiny_base, neighbor, tiny_splits)
    assert result.trainable == 8
    assert fingerprint(tiny_base.model) == before
    moved = {n for n, p in own.named_parameters() if not torch.equal(p, dict(tiny_base.model.named_parameters())[n])}
    assert moved == {f"{NAME}.weight"}
    assert updates(trainee, {}) == {}


def test_bad_requests_are_one_sentence():
    for wrong, words in (
        ({"scale": "fast"}, "scale"),
        ({"ranks": (0,)}, "at least 1"),
        ({"steps": 0}, "--steps"),
        ({"lr": -1.0}, "--lr"),
        ({"dimensions": (0, 3)}, "at least 1"),
        ({"samples": 0}, "--samples"),
    ):
        with pytest.raises(UsageError, match=words):
            Request(**wrong)
