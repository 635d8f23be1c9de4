"""A run that was cut short ends with the very bits of one that was not."""

import dataclasses
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rankwise.adapters import Full
from rankwise.engine import RunResult, TrainSpec, train
from rankwise.methods import lora, olora

SPECS = {
    "lora with dropout": TrainSpec(lora(rank=4, dropout=0.2), lr=1e-2, steps=8, batch=4, eval_steps=(2, 4, 6)),
    "olora, cosine": TrainSpec(olora(rank=4), lr=1e-2, steps=8, batch=4, eval_steps=(3, 6), schedule="cosine"),
    "full": TrainSpec(Full(), lr=3e-3, steps=8, batch=4, eval_steps=(2, 4, 6)),
}


class CutError(Exception):
    pass


def cut_after(step):
    def observe(record):
        if record.get("step") == step and "loss" in record:
            raise CutError

    return observe


@pytest.mark.parametrize("cut", [3, 5, 7])
@pytest.mark.parametrize("name", SPECS)
def test_identical_results_and_weights(name, cut, tiny_base, tiny_splits, tmp_path):
    spec = SPECS[name]
    keep = {"test": True, "checkpoint_seconds": 0.0}
    whole = train(tiny_base, spec, tiny_splits, save_to=tmp_path / "whole", folder=tmp_path / "a", **keep)
    with pytest.raises(CutError):
        train(tiny_base, spec, tiny_splits, folder=tmp_path / "b", observe=cut_after(cut), **keep)
    seen = []
    again = train(
        tiny_base, spec, tiny_splits, save_to=tmp_path / "again", folder=tmp_path / "b", observe=seen.append, **keep
    )
    last = max((s for s in spec.eval_steps if s < cut), default=None)
    if last is not None:
        assert seen[0] == {"event": "resumed", "step": last}
    assert again == whole
    file = "model.safetensors" if name == "full" else "adapter_model.safetensors"
    ours, theirs = (load_file(tmp_path / where / file) for where in ("whole", "again"))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.fixture(scope="module")
def checkpoint(tiny_base, tiny_splits, tmp_path_factory):
    """The file that a run cut after step 5 leaves (it holds step 4), and the result of one that was not cut."""
    spec, folder = SPECS["lora with dropout"], tmp_path_factory.mktemp("cut")
    with pytest.raises(CutError):
        train(tiny_base, spec, tiny_splits, folder=folder, observe=cut_after(5), test=True, checkpoint_seconds=0.0)
    return folder / "checkpoint.safetensors", train(tiny_base, spec, tiny_splits, test=True)


def step(value):
    def edit(tensors, metadata):
        metadata["record"] = json.dumps({**json.loads(metadata["record"]), "step": value})

    return edit


def rename(old, new):
    def edit(tensors, metadata):
        key = next(key for key in tensors if key.startswith(old))
        tensors[key.replace(old, new, 1)] = tensors.pop(key)

    return edit


def swap(tensors, metadata):
    one, two = [key for key in tensors if key.startswith("exp_avg/")][:2]
    tensors[one], tensors[two] = tensors[two], tensors[one]


def nothing(tensors, metadata):
    pass


EDITS = {
    "nothing": nothing,
    **{f"step {value!r}": step(value) for value in (9, -4, 999, 0, "4", None)},
    "a renamed moment": rename("exp_avg/", "exp_avg/x"),
    "a moment of another kind": rename("exp_avg/", "momentum/"),
    "a renamed parameter": rename("parameter/", "parameter/x"),
    "a renamed best": rename("best/", "best/x"),
    "swapped values": swap,
}


@pytest.mark.parametrize("digest", [pytest.param("kept", marks=pytest.mark.slow), "none"])  # tests/chaos/ flips it
@pytest.mark.parametrize("name", EDITS)
def test_a_checkpoint_that_was_changed_starts_the_run_again_and_says_so(
    name, digest, checkpoint, tiny_base, tiny_splits, tmp_path
):
    """With our digest, and as an earlier rankwise wrote it, which is held against its own record."""
    path, whole = checkpoint
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    if name == "swapped values" and digest == "none":
        pytest.skip("two values of one shape tell nothing by themselves: that is what the digest is for")
    EDITS[name](tensors, metadata)
    if digest == "none":
        del metadata["rankwise.digest"]
    save_file(tensors, tmp_path / path.name, metadata)
    seen = []
    spec = SPECS["lora with dropout"]
    assert train(tiny_base, spec, tiny_splits, folder=tmp_path, observe=seen.append, test=True) == whole
    if name == "nothing":
        assert seen[0] == {"event": "resumed", "step": 4}
    else:
        assert (seen[0]["event"], seen[0]["step"]) == ("restarted", 0)
        assert "its checkpoint is damaged" in seen[0]["reason"]


def test_a_truncated_checkpoint_starts_the_run_again(checkpoint, tiny_base, tiny_splits, tmp_path):
    path, whole = checkpoint
    (tmp_path / path.name).write_bytes(path.read_bytes()[:-100])
    seen, spec = [], SPECS["lora with dropout"]
    assert train(tiny_base, spec, tiny_splits, folder=tmp_path, observe=seen.append, test=True) == whole
    assert seen[0]["event"] == "restarted"


def test_results_survive_json(tiny_base, tiny_splits):
    result = train(tiny_base, SPECS["lora with dropout"], tiny_splits, test=True)
    assert RunResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_spec_survives_json():
    for spec in SPECS.values():
        assert TrainSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
        assert dataclasses.replace(spec, lr=2.0) != spec
