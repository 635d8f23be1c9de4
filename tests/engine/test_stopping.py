"""Asked to stop at any moment, a pack loses nothing: its runs are written as they stand and go on, the same bits."""

import contextlib
import signal
import threading
from dataclasses import replace

import pytest

from rankwise.adapters.events import Orthogonalize
from rankwise.engine import CHECKPOINT, Forward, PackJob, checkpoint_step, train_pack
from rankwise.engine.batches import evaluation_passes
from rankwise.engine.pack import stopping
from rankwise.engine.pack.stopping import SIGNALS, StoppedError, Stopping
from rankwise.methods import dora, lora, olora

from .packing import alone, packed, same, spec, weights

pytestmark = pytest.mark.exactness
EVENT = Orthogonalize("polar_fold", every=3, micro_batches=True, inside_window=True)
INSIDE = replace(lora(rank=4), events=(EVENT,))
SPECS = {
    "dropout": spec(lora(rank=4, dropout=0.2), steps=3, eval_steps=(2,), lr=0.3),
    "longer": spec(dora(rank=3), steps=4, batch=3, micro_batch=1, eval_steps=(3,)),
    "short": spec(lora(rank=2), steps=1, eval_steps=()),
}


class ToldError(BaseException):
    """What the handler of whoever called makes of a signal."""


@contextlib.contextmanager
def handled(numbers=SIGNALS):
    def tell(number, frame):
        raise ToldError(number)

    before = {number: signal.signal(number, tell) for number in numbers}
    try:
        yield tell
    finally:
        assert all(signal.getsignal(number) is tell for number in numbers), "the handlers are put back"
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture(scope="module")
def by_itself(tiny_base, tiny_splits, tmp_path_factory):
    return alone(tiny_base, tiny_splits, SPECS, tmp_path_factory.mktemp("alone"))


class Told(Forward):
    """Sends a signal in its n-th pass with a graph, or in the n-th scoring pass."""

    def __init__(self, model, number, at, graph):
        super().__init__(model)
        self.number, self.left, self.graph = number, at, graph

    def nll_many(self, parts):
        found = super().nll_many(parts)
        if found[0].requires_grad == self.graph:
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(self.number)
        return found


def stopped(base, splits, specs, folder, forward, **keywords):
    """Train until the signal; return the last step that each run took, and the runs that had ended."""
    steps, ended = dict.fromkeys(specs, 0), []

    def job(name, one):
        def observe(record):
            if "loss" in record:
                steps[name] = record["step"]

        own = {"folder": folder / name / "run", "save_to": folder / name / "out"}
        return PackJob(one, test=True, observe=observe, ended=lambda _: ended.append(name), **own)

    with handled(), pytest.raises(ToldError) as told:
        train_pack(base, [job(n, s) for n, s in specs.items()], splits, forward=forward, **keywords)
    assert told.value.args == (forward.number,)
    return steps, ended


@pytest.mark.parametrize(
    ("number", "at", "graph"),
    [
        (signal.SIGTERM, 1, True),  # passes with a graph: inside windows and at their ends
        (signal.SIGINT, 3, True),
        (signal.SIGHUP, 8, True),
        (signal.SIGTERM, 1, False),  # scoring passes: the selection split, and the test split at the end
        (signal.SIGINT, 2, False),
        (signal.SIGTERM, 5, False),
    ],
)
def test_no_step_is_lost_and_no_bit_changes(number, at, graph, by_itself, tiny_base, tiny_splits, tmp_path):
    steps, ended = stopped(tiny_base, tiny_splits, SPECS, tmp_path, Told(tiny_base.model, number, at, graph))
    assert len(ended) < len(SPECS), "the signal came after the pack; the test shows nothing"
    assert not any(".adapters." in name for name, _ in tiny_base.model.named_modules())
    for name in set(SPECS) - set(ended):
        assert (checkpoint_step(tmp_path / name / "run" / CHECKPOINT) or 0) == steps[name], name
    jobs = [PackJob(s, tmp_path / n / "run", tmp_path / n / "out", test=True) for n, s in SPECS.items()]
    again = dict(zip(SPECS, train_pack(tiny_base, jobs, tiny_splits), strict=True))
    same(by_itself, (again, {n: weights(tmp_path / n / "out") for n in SPECS}))


@pytest.mark.parametrize("at", [4, 5])
def test_a_window_in_which_an_event_acted_is_closed_first(at, tiny_base, tiny_splits, tmp_path):
    specs = {"inside": spec(INSIDE, batch=4, micro_batch=1, steps=3, eval_steps=())}
    whole = packed(tiny_base, tiny_splits, specs, tmp_path / "whole")
    steps, _ = stopped(tiny_base, tiny_splits, specs, tmp_path, Told(tiny_base.model, signal.SIGTERM, at, True))
    assert checkpoint_step(tmp_path / "inside" / "run" / CHECKPOINT) == steps["inside"] == -(-at // 4)
    job = PackJob(specs["inside"], tmp_path / "inside" / "run", tmp_path / "inside" / "out", test=True)
    (again,) = train_pack(tiny_base, [job], tiny_splits)
    same(whole, ({"inside": again}, {"inside": weights(tmp_path / "inside" / "out")}))


def test_stopped_while_the_best_step_is_scored(tiny_base, tiny_splits, tmp_path):
    """Its last weights are gone by then: it goes on from the checkpoint of its last evaluation."""
    specs = {"one": spec(lora(rank=4), lr=1.0, clip=0, steps=2, eval_steps=(1,))}
    whole = packed(tiny_base, tiny_splits, specs, tmp_path / "whole")
    assert whole[0]["one"].best_step == 1
    passes = len(evaluation_passes(tiny_splits.selection)) * 2 + len(evaluation_passes(tiny_splits.test)) + 1
    forward = Told(tiny_base.model, signal.SIGTERM, passes, False)
    stopped(tiny_base, tiny_splits, specs, tmp_path, forward, checkpoint_seconds=0.0)
    assert checkpoint_step(tmp_path / "one" / "run" / CHECKPOINT) == 2
    job = PackJob(specs["one"], tmp_path / "one" / "run", tmp_path / "one" / "out", test=True)
    (again,) = train_pack(tiny_base, [job], tiny_splits)
    same(whole, ({"one": again}, {"one": weights(tmp_path / "one" / "out")}))


def test_results_are_told_when_they_are_there(tiny_base, tiny_splits):
    told = []
    jobs = [
        PackJob(SPECS[name], ended=lambda result, name=name: told.append((name, result.status)))
        for name in ("dropout", "short")
    ]
    bad = PackJob(spec(olora(rank=4000)), ended=lambda result: told.append(("bad", result.status)))
    train_pack(tiny_base, [bad, *jobs], tiny_splits)
    assert told == [("bad", "failed"), ("short", "done"), ("dropout", "done")]


def block(*numbers, fault=None):
    """A block in which signals come, and then a fault."""
    with Stopping() as stopping:
        for number in numbers:
            signal.raise_signal(number)
        if fault is not None:
            raise fault
        stopping.check()


def test_a_second_signal_does_not_wait():
    with handled(), pytest.raises(ToldError) as told:
        block(signal.SIGTERM, signal.SIGINT, fault=OSError("it waited"))
    assert told.value.args == (signal.SIGINT,)


def test_a_fault_goes_before_a_signal_and_a_signal_at_the_end_is_not_forgotten():
    with handled(), pytest.raises(OSError, match="full"):
        block(signal.SIGTERM, fault=OSError("full"))
    with handled(), pytest.raises(ToldError), Stopping():
        signal.raise_signal(signal.SIGTERM)


def test_an_ignored_signal_stays_ignored_and_other_threads_hear_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stopping() as stopping:
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            stopping.check()
    finally:
        signal.signal(signal.SIGHUP, before)
    seen = []

    def work():
        with Stopping() as stopping:
            seen.append((stopping.heard, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, signal.getsignal(signal.SIGTERM))]


def test_the_systems_own_effect_is_left_to_the_system(monkeypatch):
    raised = []
    monkeypatch.setattr(stopping.signal, "signal", lambda number, handler: signal.SIG_DFL)
    monkeypatch.setattr(stopping.signal, "getsignal", lambda number: signal.SIG_DFL)
    monkeypatch.setattr(stopping.signal, "raise_signal", raised.append)
    waiting = Stopping()
    with pytest.raises(StoppedError):
        end_by_the_system(waiting)
    assert raised == [signal.SIGTERM]


def end_by_the_system(waiting):
    with waiting:
        waiting._hear(signal.SIGTERM, None)
        waiting.check()
