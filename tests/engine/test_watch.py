"""A watch and a given trainee change no bit: alone, in a pack, with dropout, across a resume."""

from contextlib import closing

import pytest
import torch

from rankwise.adapters import Full
from rankwise.engine import AdapterTrainee, Forward, FullTrainee, PackJob, TrainSpec, Watch, train, train_pack
from rankwise.engine.evaluation.scoring import score
from rankwise.errors import UsageError
from rankwise.methods import lora, olora
from rankwise.models import fingerprint, tiny_model


class Busy(Watch):
    """Does what measurements do: norms, scores, passes of its own."""

    def __init__(self, examples):
        self.examples, self.norms, self.steps, self.scores, self.factors = examples, [], [], [], []

    def gradients(self, step, trainee):
        grads = [p.grad for p in trainee.parameters.values()]
        self.norms.append((step, float(torch.nn.utils.get_total_norm(grads))))

    def weights(self, step, trainee):
        (found,) = score(trainee.forward, [trainee], self.examples)
        self.steps.append(step)
        self.scores.append(found.mean)
        self.factors.append(trainee.snapshot())


def _spec(target, **changes):
    settings = {"lr": 1e-2, "steps": 4, "batch": 4, "micro_batch": 2, "eval_steps": (2, 4), "clip": 0.05, **changes}
    return TrainSpec(target, **settings)


SPECS = {
    "lora": _spec(lora(4)),
    "dropout": _spec(lora(4, dropout=0.2), seed=3),
    "olora": _spec(olora(2), lr=3e-3),
    "full": _spec(Full()),
}


@pytest.mark.parametrize("name", SPECS)
def test_watching_changes_no_bit(tiny_base, tiny_splits, name):
    watch = Busy(tiny_splits.selection)
    watched = train(tiny_base, SPECS[name], tiny_splits, test=True, watch=watch)
    assert watched == train(tiny_base, SPECS[name], tiny_splits, test=True)
    assert watch.steps == [1, 2, 3, 4]
    assert [step for step, _ in watch.norms] == [0, 1, 2, 3]
    assert all(norm > 0.05 for _, norm in watch.norms), "before clipping"
    assert dict(watched.curve) == {2: watch.scores[1], 4: watch.scores[3]}, "it sees the very model that is scored"


def test_a_watched_run_in_a_pack_is_the_run_alone(tiny_base, tiny_splits):
    watches = {name: Busy(tiny_splits.selection) for name in SPECS}
    jobs = [PackJob(spec, watch=watches[name]) for name, spec in SPECS.items()]
    results = dict(zip(SPECS, train_pack(tiny_base, jobs, tiny_splits), strict=True))
    for name, spec in SPECS.items():
        alone = Busy(tiny_splits.selection)
        assert results[name] == train(tiny_base, spec, tiny_splits, watch=alone), name
        assert (watches[name].norms, watches[name].scores) == (alone.norms, alone.scores), name


def test_a_resumed_run_shows_only_the_steps_it_still_trains(tiny_base, tiny_splits, tmp_path):
    spec = SPECS["dropout"]
    first, rest = Busy(tiny_splits.selection), Busy(tiny_splits.selection)
    train(tiny_base, spec, tiny_splits, folder=tmp_path, until=2, watch=first)
    found = train(tiny_base, spec, tiny_splits, folder=tmp_path, watch=rest)
    assert found == train(tiny_base, spec, tiny_splits)
    assert (first.steps, rest.steps) == ([1, 2], [3, 4])


@pytest.mark.parametrize("name", ["lora", "dropout", "full"])
def test_a_given_trainee_gives_the_bits_of_one_that_is_made_and_stays_open(tiny_base, tiny_splits, name):
    spec, before = SPECS[name], fingerprint(tiny_base.model)
    forward = Forward(tiny_base.model)
    made = (
        FullTrainee(tiny_base.model, forward)
        if spec.target == Full()
        else AdapterTrainee(tiny_base.model, forward, spec.target, spec.seed, name="mine")
    )
    watch = Busy(tiny_splits.selection)
    with closing(made) as trainee:
        found = train(tiny_base, spec, tiny_splits, trainee=trainee, watch=watch)
        assert all(torch.equal(value, watch.factors[-1][key]) for key, value in trainee.snapshot().items())
    assert found == train(tiny_base, spec, tiny_splits)
    assert fingerprint(tiny_base.model) == before


def test_a_given_trainee_must_be_what_the_run_says(tiny_base, tiny_splits):
    forward = Forward(tiny_base.model)
    with closing(AdapterTrainee(tiny_base.model, forward, lora(4), 0)) as trainee:
        with pytest.raises(UsageError, match=r"adapter of spec\.target"):
            train(tiny_base, _spec(lora(8)), tiny_splits, trainee=trainee)
        with pytest.raises(UsageError, match=r"adapter of spec\.target"):
            PackJob(_spec(Full()), trainee=trainee)
    other = tiny_model(dtype=torch.float32)
    with (
        closing(AdapterTrainee(other, Forward(other), lora(4), 0)) as trainee,
        pytest.raises(UsageError, match="on the base"),
    ):
        train(tiny_base, _spec(lora(4)), tiny_splits, trainee=trainee)


def test_a_watch_that_fails_ends_its_own_run_only(tiny_base, tiny_splits):
    class Broken(Watch):
        def weights(self, step, trainee):
            raise ValueError("cannot look")

    spec = SPECS["lora"]
    broken, other = train_pack(tiny_base, [PackJob(spec, watch=Broken()), PackJob(spec)], tiny_splits)
    assert (broken.status, broken.reason) == ("failed", "cannot look")
    assert other == train(tiny_base, spec, tiny_splits)
