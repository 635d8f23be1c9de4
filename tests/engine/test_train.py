"""What a run promises besides its numbers: the base untouched, divergence contained, the best step kept."""

import math

import pytest
import torch

from rankwise.adapters import Full
from rankwise.engine import Forward, TrainSpec, evaluate, train
from rankwise.errors import UsageError
from rankwise.methods import build, lora, olora
from rankwise.models import fingerprint


@pytest.mark.parametrize("target", [lora(rank=4), olora(rank=4), Full()], ids=["lora", "olora", "full"])
def test_the_base_is_never_written(target, tiny_base, tiny_splits):
    before = fingerprint(tiny_base.model)
    classes = [type(m) for m in tiny_base.model.modules()]
    train(tiny_base, TrainSpec(target, lr=1e-2, steps=3, batch=4), tiny_splits, test=True)
    assert fingerprint(tiny_base.model) == before
    assert [type(m) for m in tiny_base.model.modules()] == classes
    assert not any(p.requires_grad for p in tiny_base.model.parameters())


def test_training_learns_and_scores_every_evaluation(tiny_base, tiny_splits):
    forward = Forward(tiny_base.model)
    base = evaluate(forward, tiny_splits.selection).mean
    spec = TrainSpec(lora(rank=8), lr=2e-2, steps=12, batch=8, eval_steps=(4, 8))
    result = train(tiny_base, spec, tiny_splits, forward=forward, test=True)
    assert [step for step, _ in result.curve] == [4, 8, 12]
    assert result.selection_nll == min(nll for _, nll in result.curve) < base
    assert len(result.losses) == 12
    assert result.test is not None
    assert len(result.test.nll) == len(tiny_splits.test)
    assert result.examples == 12 * 8


def test_the_best_step_is_scored_and_saved_not_the_last(tiny_base, tiny_splits, tmp_path):
    """A rate that overshoots late: test is scored at the best step on selection, and the final one is shown too."""
    spec = TrainSpec(lora(rank=8), lr=0.3, steps=9, batch=8, eval_steps=tuple(range(1, 9)), seed=1)
    result = train(tiny_base, spec, tiny_splits, test=True, save_to=tmp_path)
    assert result.best_step is not None
    assert result.best_step < spec.steps
    assert result.test != result.test_final
    from rankwise.adapters import load

    handle = load(tiny_base.model, tmp_path)
    again = evaluate(Forward(tiny_base.model), tiny_splits.test)
    handle.detach()
    assert again.nll == pytest.approx(result.test.nll, abs=1e-5)


def test_divergence_ends_the_run_with_a_reason(tiny_base, tiny_splits):
    result = train(tiny_base, TrainSpec(Full(), lr=1e30, steps=6, batch=4, clip=0), tiny_splits, test=True)
    assert result.status == "diverged"
    assert "stopped being finite at step" in (result.reason or "")
    assert "1e+30" in (result.reason or "")
    assert result.test is None
    assert all(math.isfinite(nll) for _, nll in result.curve)


def test_low_precision_full_fine_tuning_keeps_fp32_masters(tiny_splits):
    """Steps far below bf16's resolution must still add up."""
    from rankwise.engine.train import Run
    from rankwise.models import load_base

    base = load_base("tiny", dtype=torch.bfloat16)
    run = Run(base, Forward(base.model), TrainSpec(Full(), lr=1e-5, steps=20, batch=8, clip=0), tiny_splits)
    first = run.trainee.snapshot()
    for _ in range(20):
        run.train_step()
    masters = run.trainee.parameters
    assert all(p.dtype == torch.float32 for p in masters.values())
    moved = sum((masters[n] - first[n]).abs().sum() for n in masters) / sum(p.numel() for p in masters.values())
    assert moved > 1e-4, "20 steps of 1e-5 must move a weight by about 2e-4"
    for name, p in run.trainee.model.named_parameters():
        assert p.dtype == torch.bfloat16
        assert torch.equal(p, masters[name].to(torch.bfloat16))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": 0.0}, "learning rate"),
        ({"lr": float("nan")}, "learning rate"),
        ({"steps": 0}, "steps"),
        ({"batch": 0}, "batch"),
        ({"schedule": "cosin"}, "cosine"),
        ({"warmup": 3}, "constant_with_warmup"),
        ({"clip": -1.0}, "clip"),
    ],
)
def test_bad_specs_are_one_sentence(changes, words):
    with pytest.raises(UsageError, match=words):
        TrainSpec(**{"target": build("lora"), "lr": 1e-3, "steps": 3, **changes})
