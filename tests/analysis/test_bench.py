"""What the bench does with a run that diverges, and full fine-tuning of some modules only."""

import math
from contextlib import closing

import pytest
import torch

from rankwise.adapters import Adapter, Full
from rankwise.analysis import Request, analyze, with_notes
from rankwise.analysis.bench import Bench
from rankwise.analysis.gradients import example_gradients
from rankwise.analysis.part_trainee import PartTrainee
from rankwise.errors import RunError
from rankwise.execution.progress import Progress

WILD = 1e30


@pytest.fixture(scope="module")
def bench():
    return Bench(Request(scale="smoke", steps=2), Progress())


def test_a_run_that_diverged_learned_nothing_and_is_named(bench):
    with pytest.raises(RunError, match="wild diverged"):
        bench.trial("wild", Adapter(), "code-book", lr=WILD)
    trial = bench.trial("wilder", Adapter(), "code-book", lr=WILD, may_diverge=True)
    assert trial.diverged
    assert (trial.nll, trial.gain) == (math.inf, -math.inf)
    assert all(math.isfinite(nll) for _, nll in trial.curve)
    assert any("wilder diverged" in note for note in bench.setup("code-book")["notes"])


def test_only_the_named_modules_move(bench):
    names = list(bench.linear)[:2]
    with closing(PartTrainee(bench.base.model, bench.forward, names)) as trainee:
        bench.trial("part", Full(), "code-book", trainee=trainee, lr=0.01)
        before = dict(bench.base.model.named_parameters())
        moved = {n for n, p in trainee.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {f"{name}.weight" for name in names}


def test_gradients_at_moved_weights_are_those_of_a_moved_model(bench):
    names = list(bench.linear)[:3]
    examples = bench.splits("code-book").train[:2]
    stream = torch.Generator().manual_seed(0)
    D = {name: 0.05 * torch.randn(bench.base_shape(name), generator=stream) for name in names}
    _, start = example_gradients(bench, names, examples)
    losses, found = example_gradients(bench, names, examples, D)
    moved = Bench(bench.request, Progress())
    with torch.no_grad():
        for name in names:
            moved.linear[name].weight += D[name]
    expected, gradients = example_gradients(moved, names, examples)
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=0)
    for name in names:
        torch.testing.assert_close(
            found[name], gradients[name], rtol=1e-3, atol=1e-4 * float(gradients[name].abs().max())
        )
        assert float((found[name] - start[name]).norm()) > 0.01 * float(start[name].norm())
        assert not bench.linear[name].weight.requires_grad
    assert not any(bench.linear[name]._forward_hooks for name in names)


def test_an_analysis_goes_on_without_the_runs_that_diverged():
    found = analyze("scale", Request(scale="smoke", steps=2, ranks=(1, 8), lr=WILD))
    assert found.word == "undecided"
    assert sum("diverged and counts as having learned nothing" in caveat for caveat in found.caveats) == 4
    assert "random model" in found.caveats[0]
    assert "notes" not in found.setup
    assert with_notes(found) == found
