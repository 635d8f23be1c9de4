"""A run trained in parts, as successive halving does, has the bits of one that was never paused."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from rankwise.adapters import Full
from rankwise.engine import TrainSpec, train
from rankwise.errors import UsageError
from rankwise.methods import lora

SPECS = {
    "lora with dropout, cosine": TrainSpec(
        lora(rank=4, dropout=0.2), lr=1e-2, steps=8, batch=4, eval_steps=(2, 4, 6), schedule="cosine"
    ),
    "full, linear": TrainSpec(Full(), lr=3e-3, steps=8, batch=4, eval_steps=(2, 4, 6), schedule="linear"),
}


@pytest.mark.parametrize("name", SPECS)
def test_paused_twice_then_finished(name, tiny_base, tiny_splits, tmp_path):
    spec = SPECS[name]
    whole = train(tiny_base, spec, tiny_splits, test=True, save_to=tmp_path / "whole")
    parts = {"test": True, "folder": tmp_path / "run", "save_to": tmp_path / "parts"}
    for until in (2, 6):
        paused = train(tiny_base, spec, tiny_splits, until=until, **parts)
        assert paused.status == "paused"
        assert paused.curve == [point for point in whole.curve if point[0] <= until]
        assert paused.losses == whole.losses[:until]
        assert paused.test is None
        assert 0 < paused.flops < whole.flops
        assert not (tmp_path / "parts").exists()
    assert train(tiny_base, spec, tiny_splits, **parts) == whole
    file = "model.safetensors" if name.startswith("full") else "adapter_model.safetensors"
    ours, theirs = (load_file(tmp_path / where / file) for where in ("whole", "parts"))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_pause_that_was_reached_before_trains_nothing(tiny_base, tiny_splits, tmp_path):
    spec = SPECS["lora with dropout, cosine"]
    first = train(tiny_base, spec, tiny_splits, folder=tmp_path, until=4)
    seen = []
    assert train(tiny_base, spec, tiny_splits, folder=tmp_path, until=4, observe=seen.append) == first
    assert seen == [{"event": "resumed", "step": 4}]


def test_a_run_that_diverges_first_is_not_paused(tiny_base, tiny_splits, tmp_path):
    spec = replace(SPECS["full, linear"], lr=1e30, clip=0.0)
    assert train(tiny_base, spec, tiny_splits, folder=tmp_path, until=4).status == "diverged"


@pytest.mark.parametrize("until", [3, 0, 9])
def test_pauses_are_at_evaluations(until, tiny_base, tiny_splits, tmp_path):
    with pytest.raises(UsageError, match="evaluation steps"):
        train(tiny_base, SPECS["full, linear"], tiny_splits, folder=tmp_path, until=until)


def test_a_pause_needs_a_place_to_go_on_from(tiny_base, tiny_splits):
    with pytest.raises(UsageError, match="needs a folder"):
        train(tiny_base, SPECS["full, linear"], tiny_splits, until=4)
