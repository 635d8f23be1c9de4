"""A run that was cut short ends with the very bits of one that was not."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

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


def test_a_damaged_checkpoint_starts_the_run_again(tiny_base, tiny_splits, tmp_path):
    spec = SPECS["lora with dropout"]
    whole = train(tiny_base, spec, tiny_splits)
    with pytest.raises(CutError):
        train(tiny_base, spec, tiny_splits, folder=tmp_path, observe=cut_after(5), checkpoint_seconds=0.0)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert train(tiny_base, spec, tiny_splits, folder=tmp_path) == whole


def test_results_survive_json(tiny_base, tiny_splits):
    result = train(tiny_base, SPECS["lora with dropout"], tiny_splits, test=True)
    assert RunResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_spec_survives_json():
    for spec in SPECS.values():
        assert TrainSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
        assert dataclasses.replace(spec, lr=2.0) != spec
