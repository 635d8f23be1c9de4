"""The loss of a window, against plain arithmetic: any accumulation, an uneven last window, clipping, finite steps."""

import copy
from dataclasses import replace

import pytest
import torch

from rankwise.adapters import attach
from rankwise.adapters.penalties import Orthogonality
from rankwise.engine import Forward, TrainSpec, train
from rankwise.engine.reference import example_nll, reference_train
from rankwise.engine.run import Run
from rankwise.methods import lora
from rankwise.models import Base, byte_tokenizer, tiny_model

pytestmark = pytest.mark.exactness


@pytest.fixture(scope="module")
def wide():
    """A tiny GPT-2: float64 throughout (Llama's norms and rotary tables are float32 in any case)."""
    model = tiny_model(kind="gpt2", dtype=torch.float64).requires_grad_(False).eval()
    return Base(model, byte_tokenizer(), "tiny", "x", ())


@pytest.mark.parametrize("accumulation", [2, 4, 8])
def test_accumulation_equals_the_reference(accumulation, wide, tiny_splits):
    """40 examples in windows of 16: the last of each epoch has 8, cut into fewer passes; clipping always acts."""
    spec = TrainSpec(
        lora(rank=4),
        lr=1e-2,
        steps=4,
        batch=16,
        micro_batch=16 // accumulation,
        schedule="constant_with_warmup",
        warmup=2,
        clip=0.05,
        weight_decay=0.1,
        seed=2,
    )
    twin = copy.deepcopy(wide.model)
    parameters = attach(twin, spec.target, seed=spec.seed).trainable()
    plain = reference_train(twin, parameters, spec, tiny_splits.train)
    run = Run(wide, Forward(wide.model), spec, tiny_splits)
    try:
        assert [run.train_step() for _ in range(spec.steps)] == pytest.approx(plain, abs=1e-10)
        for name, value in run.trainee.parameters.items():
            torch.testing.assert_close(value, parameters[name], atol=1e-9, rtol=0)
    finally:
        run.trainee.close()


def test_finite_differences_of_the_window_loss(wide, tiny_splits):
    """Every factor's gradient along a random direction, penalty included, in central differences."""
    target = replace(lora(rank=3), penalties=(Orthogonality(0.3),))
    spec = TrainSpec(target, lr=1e-2, steps=2, batch=7, micro_batch=3, clip=0)
    run = Run(wide, Forward(wide.model), spec, tiny_splits)
    stream = torch.Generator().manual_seed(0)
    try:
        run.train_step()  # away from B = 0
        while not run.window_complete:
            batch = run.next_batch()
            total = run.trainee.forward.nll_many([(run.trainee.name, batch)])[0].sum()
            run.share(total).backward()
            run.passed(float(total.detach()))
        examples = [tiny_splits.train[i] for part in run.window.passes for i in part]

        def loss():
            with torch.no_grad():
                nll = sum(example_nll(wide.model, e) for e in examples) / sum(e.targets for e in examples)
                factors = {path: slot.factors for path, slot in run.trainee.handle.slots.items()}
                return float(nll + 0.3 * target.penalties[0].value(factors))

        for name, p in list(run.trainee.parameters.items())[::3]:
            direction = torch.randn(p.shape, generator=stream, dtype=p.dtype)
            values = []
            for h in (1e-5, -1e-5):
                with torch.no_grad():
                    p.add_(h * direction)
                values.append(loss())
                with torch.no_grad():
                    p.sub_(h * direction)
            numeric = (values[0] - values[1]) / 2e-5
            assert float((p.grad * direction).sum()) == pytest.approx(numeric, rel=1e-6, abs=1e-8), name
    finally:
        run.trainee.close()


def test_a_penalty_is_added_once_per_step_however_many_passes(wide, tiny_splits):
    target = replace(lora(rank=3), penalties=(Orthogonality(0.5),))
    runs = [
        train(wide, TrainSpec(target, lr=1e-2, steps=3, batch=8, micro_batch=m), tiny_splits, test=True)
        for m in (1, 4, 8)
    ]
    for other in runs[1:]:
        assert other.losses == pytest.approx(runs[0].losses, abs=1e-10)
        assert other.penalties["orthogonality"] == pytest.approx(runs[0].penalties["orthogonality"], abs=1e-10)
