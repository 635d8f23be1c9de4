"""One run's trouble is its own: a fault, a kill, a pause or too little memory changes no bit of another."""

import pytest
import torch

from rankwise.engine import CHECKPOINT, Forward, PackJob, checkpoint_step, train, train_pack
from rankwise.engine.pack.memory import out_of_memory
from rankwise.errors import UsageError
from rankwise.methods import lora, olora

from .packing import MIX, alone, same, spec, weights

pytestmark = pytest.mark.exactness
NAMES = ["lora", "rslora", "dora", "lora_plus"]
SPECS = {name: MIX[name] for name in NAMES}


@pytest.fixture(scope="module")
def by_itself(tiny_base, tiny_splits, tmp_path_factory):
    return alone(tiny_base, tiny_splits, SPECS, tmp_path_factory.mktemp("alone"))


class KillError(BaseException):
    """Not an Exception: nothing in the loop may catch it, as nothing can catch SIGKILL."""


def kill_after(step):
    def observe(record):
        if record.get("step") == step and "loss" in record:
            raise KillError

    return observe


def jobs(folder, observers=None):
    return [
        PackJob(s, folder=folder / n / "run", save_to=folder / n / "out", test=True, observe=(observers or {}).get(n))
        for n, s in SPECS.items()
    ]


def finished(results, folder):
    return dict(zip(SPECS, results, strict=True)), {n: weights(folder / n / "out") for n in SPECS}


@pytest.mark.parametrize("step", [2, 4, 5])
def test_killed_in_the_middle_and_resumed(step, by_itself, tiny_base, tiny_splits, tmp_path):
    """When dora closes its window, the others stand inside theirs; each goes on from its own checkpoint."""
    observers = {"dora": kill_after(step)}
    with pytest.raises(KillError):
        train_pack(tiny_base, jobs(tmp_path, observers), tiny_splits, checkpoint_seconds=0.0)
    assert not any(".adapters." in name for name, _ in tiny_base.model.named_modules())
    steps = {n: checkpoint_step(tmp_path / n / "run" / CHECKPOINT) for n in SPECS}
    assert step < 3 or any(steps.values())
    results = train_pack(tiny_base, jobs(tmp_path), tiny_splits, checkpoint_seconds=0.0, width=3)
    same(by_itself, finished(results, tmp_path))


def test_paused_and_continued(by_itself, tiny_base, tiny_splits, tmp_path):
    """Some pause at an evaluation, then all go on together: the halving of a search."""
    first = [PackJob(j.spec, j.folder, j.save_to, test=True, until=j.spec.eval_steps[0]) for j in jobs(tmp_path)]
    for result, job in zip(train_pack(tiny_base, first, tiny_splits), first, strict=True):
        assert result.status == "paused"
        assert [step for step, _ in result.curve] == [job.until]
        assert result.test is None
        assert result.flops > 0
    again = train_pack(tiny_base, first, tiny_splits)  # pausing twice trains nothing
    assert [r.status for r in again] == ["paused"] * 4
    same(by_itself, finished(train_pack(tiny_base, jobs(tmp_path), tiny_splits), tmp_path))


def test_one_run_paused_by_train(by_itself, tiny_base, tiny_splits, tmp_path):
    part = train(tiny_base, SPECS["dora"], tiny_splits, folder=tmp_path, until=4, test=True)
    assert (part.status, len(part.losses)) == ("paused", 4)
    whole = train(tiny_base, SPECS["dora"], tiny_splits, folder=tmp_path, test=True)
    assert whole == by_itself[0]["dora"]
    with pytest.raises(UsageError, match=r"until must be one of the evaluation steps \(2, 4, 6\), found 3"):
        train(tiny_base, SPECS["dora"], tiny_splits, folder=tmp_path, until=3)
    with pytest.raises(UsageError, match="needs a folder"):
        train(tiny_base, SPECS["dora"], tiny_splits, until=4)


def test_a_checkpoint_without_the_best_snapshot_is_not_continued_where_it_is_needed(tiny_base, tiny_splits, tmp_path):
    run = spec(lora(rank=4), lr=1.0, clip=0, steps=2, eval_steps=(1,))
    whole = train(tiny_base, run, tiny_splits, test=True)
    assert whole.best_step == 1
    train(tiny_base, run, tiny_splits, folder=tmp_path, until=1)  # nothing asked for the best step's weights
    assert train(tiny_base, run, tiny_splits, folder=tmp_path, test=True) == whole


def test_faults_end_their_own_run_only(by_itself, tiny_base, tiny_splits, tmp_path):
    def angry(record):
        if record.get("step") == 2:
            raise ValueError("no more")

    extra = [
        PackJob(spec(olora(rank=4000))),  # does not fit: its attach fails
        PackJob(SPECS["lora"], observe=angry),
    ]
    mixed = jobs(tmp_path)
    results = train_pack(tiny_base, [mixed[0], *extra, *mixed[1:]], tiny_splits)
    assert [r.status for r in results[1:3]] == ["failed", "failed"]
    assert "needs rank <= min(d_in, d_out)" in results[1].reason
    assert results[2].reason == "no more"
    same(by_itself, finished([results[0], *results[3:]], tmp_path))
    with pytest.raises(UsageError, match="needs rank"):
        train(tiny_base, extra[0].spec, tiny_splits)
    with pytest.raises(ValueError, match="no more"):
        train(tiny_base, SPECS["lora"], tiny_splits, observe=angry)


class Scarce(Forward):
    """Runs out of memory when more than ``most`` runs with a graph share a pass, after computing some of them."""

    most = 2
    refused = 0
    broken: str | None = None

    def nll_many(self, parts):
        found = super().nll_many(parts)
        if len(parts) > self.most:
            self.refused += 1
            raise MemoryError
        if self.broken in [name for name, _ in parts]:
            raise RuntimeError("a broken kernel")
        return found


def test_out_of_memory_makes_smaller_packs_of_the_same_bits(by_itself, tiny_base, tiny_splits, tmp_path):
    forward = Scarce(tiny_base.model)
    results = train_pack(tiny_base, jobs(tmp_path), tiny_splits, forward=forward)
    assert forward.refused == 1, "once is enough: the pack stays smaller"
    same(by_itself, finished(results, tmp_path))


def test_out_of_memory_alone_fails_that_run(by_itself, tiny_base, tiny_splits, tmp_path):
    forward = Scarce(tiny_base.model)
    forward.most = 0
    (result,) = train_pack(tiny_base, [PackJob(SPECS["lora"])], tiny_splits, forward=forward)
    assert (result.status, result.reason) == ("failed", "MemoryError")


def test_a_fault_in_a_shared_pass_finds_its_run(by_itself, tiny_base, tiny_splits, tmp_path):
    """Dropout streams had moved when the pass broke: the innocent begin their windows again."""
    forward = Scarce(tiny_base.model)
    forward.most, forward.broken = 99, "run4"
    extra = PackJob(spec(lora(rank=2)))
    results = train_pack(tiny_base, [*jobs(tmp_path), extra], tiny_splits, forward=forward)
    assert (results[4].status, results[4].reason) == ("failed", "a broken kernel")
    same(by_itself, finished(results[:4], tmp_path))


def test_what_out_of_memory_looks_like():
    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."))
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
