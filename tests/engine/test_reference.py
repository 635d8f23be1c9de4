"""The fast loop equals the plain one: same losses, same weights, in float64."""

import copy

import pytest
import torch

from rankwise.adapters import Full, attach
from rankwise.data import Limits, load_data
from rankwise.engine import Forward, TrainSpec
from rankwise.engine.reference import reference_train
from rankwise.engine.train import Run
from rankwise.methods import lora, olora, pissa, rslora
from rankwise.models import Base, byte_tokenizer, tiny_model

TARGETS = {
    "lora": lora(rank=4),
    "rslora attention": rslora(rank=4, placement="attention"),
    "olora": olora(rank=4),
    "pissa mlp": pissa(rank=4, placement="mlp"),
    "full": Full(),
}


@pytest.fixture(scope="module", params=["llama", "gpt2", "qwen2", "gemma2", "opt"])
def base(request):
    model = tiny_model(kind=request.param, dtype=torch.float64).requires_grad_(False).eval()
    return Base(model, byte_tokenizer(), request.param, "x", ())


@pytest.fixture(scope="module")
def splits():
    return load_data("word-problems:en", byte_tokenizer(), limits=Limits(11, 2, 2))


@pytest.fixture(autouse=True)
def wide_softmax(monkeypatch):
    """Gemma's own attention takes its softmax in float32 even of float64: not precise enough to compare with."""
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, dtype=None: softmax(x, dim=dim))


@pytest.mark.parametrize("name", TARGETS)
def test_losses_and_weights(name, base, splits):
    target = TARGETS[name]
    # 11 examples in windows of 4: the last window of an epoch is shorter; passes of 3 cut every window in two.
    spec = TrainSpec(target, lr=1e-2, steps=5, batch=4, micro_batch=3, schedule="cosine", weight_decay=0.01, seed=3)
    twin = copy.deepcopy(base.model)
    if isinstance(target, Full):
        parameters = dict(twin.requires_grad_(True).named_parameters())
    else:
        parameters = attach(twin, target, seed=spec.seed).trainable()
    plain = reference_train(twin, parameters, spec, splits.train)

    run = Run(base, Forward(base.model), spec, splits)
    try:
        fast = [run.train_step() for _ in range(spec.steps)]
        assert fast == pytest.approx(plain, abs=1e-6)
        for key, value in run.trainee.parameters.items():
            torch.testing.assert_close(value, parameters[key], atol=1e-6, rtol=0)
    finally:
        run.trainee.close()


def test_the_window_is_normalized_by_its_targets_not_per_pass(base, splits):
    """Examples differ in targets, so a mean of per-pass means would differ: the classic accumulation fault."""
    losses = []
    for micro_batch in (1, 3, 8):
        spec = TrainSpec(lora(rank=2), lr=1e-2, steps=3, batch=8, micro_batch=micro_batch)
        run = Run(base, Forward(base.model), spec, splits)
        losses.append([run.train_step() for _ in range(3)])
        run.trainee.close()
    assert len({e.targets for e in splits.train}) > 1
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)
    assert losses[2] == pytest.approx(losses[0], abs=1e-6)
