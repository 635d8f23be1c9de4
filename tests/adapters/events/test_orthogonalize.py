"""The event in a run: what it records, what it keeps, how it resumes and packs, and when it refuses."""

import json
from dataclasses import replace

import pytest
import torch

from rankwise.adapters.events import Orthogonalize
from rankwise.engine import Forward, PackJob, TrainSpec, train, train_pack
from rankwise.engine.run import Run
from rankwise.errors import RunError, UsageError
from rankwise.methods import dora, lora, lora_fa
from tests.engine.packing import alone, packed, resumed_is_undisturbed, same, spec

KINDS = ["qr", "row_norm", "row_norm_fold", "qr_fold", "polar_fold", "ema", "ema_fold", "gradual", "measure"]
FOLDED = ["row_norm_fold", "qr_fold", "polar_fold", "ema_fold"]


def target(kind, every=3, rank=4, **options):
    return replace(lora(rank=rank), events=(Orthogonalize(kind, every, **options),))


@pytest.fixture(scope="module")
def fired(tiny_base, tiny_splits):
    """Every kind's first record, after three steps at a high rate."""
    specs = [TrainSpec(target(kind), lr=3e-2, steps=3, batch=4) for kind in KINDS]
    results = train_pack(tiny_base, [PackJob(one) for one in specs], tiny_splits)
    assert len({tuple(r.losses) for r in results}) == 1, "the event comes after the third step, nothing before differs"
    return {kind: result.events[0] for kind, result in zip(KINDS, results, strict=True)}


def jump(record):
    return record["probe_loss_after"] - record["probe_loss_before"]


@pytest.mark.parametrize("kind", FOLDED)
def test_folded_kinds_do_not_jump(fired, kind):
    assert abs(jump(fired[kind])) < 1e-4
    assert fired[kind]["relative_change"] < 1e-6, "the factors are float32"
    assert abs(fired[kind]["bf16_probe_loss_after"] - fired[kind]["probe_loss_after"]) > 0, "the cast is shown beside"


@pytest.mark.parametrize("kind", ["qr", "qr_fold", "polar_fold"])
def test_coherence_is_zero_after(fired, kind):
    assert fired[kind]["coherence_before"]["max"] > 0.1
    assert fired[kind]["coherence_after"]["max"] < 1e-6


def test_qr_jumps_and_changes_the_update(fired):
    assert abs(jump(fired["qr"])) > 0.05
    assert fired["qr"]["relative_change"] > 0.5


def test_row_normalization_leaves_cosines(fired):
    for kind in ("row_norm", "row_norm_fold"):
        record = fired[kind]
        assert record["coherence_after"]["max"] == pytest.approx(record["coherence_before"]["max"], abs=1e-6)
        assert record["coherence_after"]["mean"] == pytest.approx(record["coherence_before"]["mean"], abs=1e-6)
    assert fired["row_norm"]["relative_change"] > 0.5


def test_measuring_changes_nothing(fired, tiny_base, tiny_splits):
    assert jump(fired["measure"]) == 0
    assert fired["measure"]["relative_change"] < 1e-12
    plain = train(tiny_base, TrainSpec(lora(rank=4), lr=3e-2, steps=5, batch=4), tiny_splits)
    measured = train(tiny_base, TrainSpec(target("measure", 1), lr=3e-2, steps=5, batch=4), tiny_splits)
    assert measured.losses == plain.losses


def test_the_record_speaks_the_users_words(fired):
    assert fired["polar_fold"]["text"] == "Orthogonalized 14 modules"
    assert fired["polar_fold"]["modules"] == 14
    json.dumps(fired)


EVENTFUL = {
    "polar": spec(target("polar_fold", 2), eval_steps=(1, 3, 5)),
    "qr": spec(target("qr", 3, rank=3), batch=6, eval_steps=(2, 4)),
    "ema": spec(target("ema_fold", 1, threshold=0.05), eval_steps=(2,)),
    "end": spec(target("qr_fold", 0, at_the_end=True), eval_steps=(2,)),
    "passes": spec(target("row_norm", 3, micro_batches=True, inside_window=True), eval_steps=(1, 2, 3)),
}


@pytest.mark.exactness
def test_packed_is_alone(tiny_base, tiny_splits, tmp_path):
    same(
        alone(tiny_base, tiny_splits, EVENTFUL, tmp_path / "alone"),
        packed(tiny_base, tiny_splits, EVENTFUL, tmp_path / "packed"),
    )


@pytest.mark.exactness
@pytest.mark.parametrize("name", EVENTFUL)
def test_resumed_equals_undisturbed(name, tiny_base, tiny_splits, tmp_path):
    resumed_is_undisturbed(tiny_base, tiny_splits, EVENTFUL[name], tmp_path)


def test_the_notes_cadence_in_micro_batches(tiny_base, tiny_splits):
    """Two passes a step, an event after every third: inside window 2, after step 3, inside window 5, after step 6."""
    event = Orthogonalize("row_norm", 3, micro_batches=True, inside_window=True)
    run = TrainSpec(replace(lora(rank=4), events=(event,)), lr=1e-2, steps=6, batch=4, micro_batch=2)
    result = train(tiny_base, run, tiny_splits)
    assert [(e["step"], e["moment"]) for e in result.events] == [(step, "at_passes") for step in (2, 3, 5, 6)]


def test_the_last_pass_and_the_end_are_one_event(tiny_base, tiny_splits):
    """As with a cadence in steps; a pass inside the last window is another moment."""
    found = {}
    for every, inside in ((2, False), (3, True)):
        event = Orthogonalize("polar_fold", every, micro_batches=True, inside_window=inside, at_the_end=True)
        run = TrainSpec(replace(lora(rank=4), events=(event,)), lr=1e-2, steps=3, batch=4, micro_batch=2)
        found[every] = [(e["step"], e["moment"]) for e in train(tiny_base, run, tiny_splits).events]
    assert found[2] == [(1, "at_passes"), (2, "at_passes"), (3, "at_end")]
    assert found[3] == [(2, "at_passes"), (3, "at_end")]
    event = Orthogonalize("polar_fold", 5, micro_batches=True, inside_window=True, at_the_end=True)
    run = TrainSpec(replace(lora(rank=4), events=(event,)), lr=1e-2, steps=3, batch=4, micro_batch=2)
    assert [(e["step"], e["moment"]) for e in train(tiny_base, run, tiny_splits).events] == [
        (3, "at_passes"),
        (3, "at_end"),
    ]


def test_moments_are_carried_along(tiny_base, tiny_splits):
    """One step after a folded event equals the step that plain LoRA's moments ask for, seen in the new coordinates."""
    run = Run(
        tiny_base, Forward(tiny_base.model), TrainSpec(target("polar_fold", 2), lr=1e-2, steps=4, batch=4), tiny_splits
    )
    try:
        run.train_step()
        module = run.trainee.handle.adapter and next(iter(run.trainee.handle.slots))
        slot = run.trainee.handle.slots[module]
        event, context = run.events.contexts[0].event, run.events.contexts[0]
        before = run.optimizer.state[slot.factors["B"]]["exp_avg"].clone()
        B, A = slot.factors["B"].detach().clone(), slot.factors["A"].detach().clone()
        context.at("at_interval", 2)
        event.at_interval(context, 2)
        M = torch.linalg.lstsq(A.double().T, slot.factors["A"].detach().double().T).solution.T
        after = run.optimizer.state[slot.factors["B"]]["exp_avg"]
        torch.testing.assert_close(after.double(), before.double() @ M.T, atol=1e-7, rtol=1e-4)
        torch.testing.assert_close(slot.factors["B"].double() @ M, B.double(), atol=1e-7, rtol=1e-4)
    finally:
        run.trainee.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Orthogonalize("polr_fold"),
            "unknown kind of orthogonalization 'polr_fold'; did you mean 'polar_fold'",
        ),
        (lambda: Orthogonalize("qr", -1), "every must be a whole number"),
        (lambda: Orthogonalize("qr", 0), "never happens; give at_the_end"),
        (lambda: Orthogonalize("qr", threshold=1.5), "threshold is a mean"),
        (lambda: Orthogonalize("gradual", strength=0.8), "strength of gradual must be above 0 and at most 0.5"),
        (lambda: Orthogonalize("qr", inside_window=True), "set both or neither"),
        (lambda: replace(dora(), events=(Orthogonalize(),)), "of parametrization 'low-rank', found"),
        (lambda: replace(lora_fa(), events=(Orthogonalize(),)), "so both must train"),
        (
            lambda: TrainSpec(target("qr", 3, micro_batches=True), lr=1e-3, steps=2, batch=4, micro_batch=2),
            "after every 3 micro-batches falls inside an accumulation window of 2; use a multiple of 2",
        ),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(UsageError, match=words):
        make()


def test_more_rows_than_inputs_cannot_be_orthogonal(tiny_base, tiny_splits):
    with pytest.raises(RunError, match="cannot be orthogonal there; use a rank of at most"):
        train(tiny_base, TrainSpec(target("qr", 1, rank=80), lr=1e-3, steps=2, batch=2), tiny_splits)
