"""save -> load gives the same bits: every factor, every frozen start, every logit."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from rankwise.adapters import load, save
from rankwise.methods import lora, placement

from .models import LLAMA
from .table import ROWS
from .tools import attach, base_hash, every_model, every_row, move, run, train


@every_model
@every_row
def test_save_and_load_are_bitwise(row, tiny, tmp_path):
    model, fresh = tiny.make(), tiny.make()
    handle = attach(model, row.adapter, seed=3)
    train(model, tiny, handle)
    save(handle, tmp_path, base_model="tiny")
    before = base_hash(fresh)
    loaded = load(fresh, tmp_path)

    assert loaded.adapter == row.adapter
    assert loaded.seed == 3
    assert loaded.trainable().keys() == handle.trainable().keys()
    for name, parameter in handle.trainable().items():
        assert torch.equal(loaded.trainable()[name], parameter), name
    for path, slot in handle.slots.items():
        for mine, theirs in ((slot.start, loaded.slots[path].start), (slot.factors, loaded.slots[path].factors)):
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(theirs[name], value) for name, value in mine.items())
    assert torch.equal(run(fresh, tiny), run(model, tiny))
    assert base_hash(fresh) == before

    train(model, tiny, handle)
    train(fresh, tiny, loaded)
    if not row.adapter.dropout:  # the dropout stream is the engine's to resume
        assert torch.equal(run(fresh, tiny), run(model, tiny)), "training goes on with the same bits"


@pytest.mark.parametrize("row", [r for r in ROWS if r.edits_base], ids=lambda row: row.name)
def test_a_frozen_start_comes_from_the_file_not_from_the_base_it_meets(row, tmp_path):
    """Another LAPACK, or the same base in another precision, factorizes a little differently."""
    model, other = LLAMA.make(), LLAMA.make()
    with torch.no_grad():
        for path in LLAMA.shapes:
            other.get_submodule(path).weight.mul_(1 + 1e-6)
    handle = attach(model, row.adapter)
    move(handle)
    loaded = load(other, save(handle, tmp_path))
    for path, slot in handle.slots.items():
        assert all(torch.equal(loaded.slots[path].start[name], value) for name, value in slot.start.items())
        if not row.magnitude:  # DoRA's update is of the W0 it meets
            assert torch.equal(loaded.delta(path), handle.delta(path))
    assert all(torch.equal(loaded.trainable()[name], p) for name, p in handle.trainable().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@every_row
def test_narrow_bases_round_trip_in_the_factors_own_precision(row, dtype, tmp_path):
    model, fresh = LLAMA.make(dtype), LLAMA.make(dtype)
    handle = attach(model, row.adapter)
    move(handle, size=1e-3)  # small against the start: where A - A0 has few bits of A
    loaded = load(fresh, save(handle, tmp_path))
    for name, parameter in handle.trainable().items():
        assert torch.equal(loaded.trainable()[name], parameter)
    assert torch.equal(run(fresh, LLAMA), run(model, LLAMA))


@pytest.mark.parametrize("row", [r for r in ROWS if r.name in ("lora", "olora-rs")], ids=lambda row: row.name)
@pytest.mark.parametrize("where", ["attention", "mlp", "regex:lm_head", "v_proj,layers.1.mlp.up_proj"])
def test_every_placement_round_trips(row, where, tmp_path):
    adapter = replace(row.adapter, placement=placement(where))
    model, fresh = LLAMA.make(), LLAMA.make()
    handle = attach(model, adapter)
    move(handle)
    loaded = load(fresh, save(handle, tmp_path), name="again")
    assert loaded.adapter == adapter
    assert list(loaded.layers) == list(handle.layers)
    assert torch.equal(run(fresh, LLAMA), run(model, LLAMA))


def test_only_safetensors_and_json_are_written_and_nothing_stale_stays(tmp_path):
    olora, plain = (next(r for r in ROWS if r.name == name).adapter for name in ("olora", "lora"))
    save(attach(LLAMA.make(), olora), tmp_path)
    tensors = {"adapter_model.safetensors", "rankwise_start.safetensors"}
    every = {"adapter_config.json", "rankwise.json", "rankwise.sha256", *tensors}
    assert {p.name for p in tmp_path.iterdir()} == every
    save(attach(LLAMA.make(), plain), tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == every - {"rankwise_start.safetensors"}
    assert load(LLAMA.make(), tmp_path).adapter == plain


def test_a_loaded_adapter_joins_those_already_there(tmp_path):
    model, other = LLAMA.make(), LLAMA.make()
    here = attach(model, lora(2), name="here")
    move(here, seed=1)
    there = attach(other, lora(3))
    move(there, seed=2)
    loaded = load(model, save(there, tmp_path), name="there")
    for path in LLAMA.shapes:
        assert torch.equal(loaded.delta(path), there.delta(path))
    with here.disable():
        assert torch.equal(run(model, LLAMA), run(other, LLAMA))


def test_the_spec_on_disk_is_readable_json(tmp_path):
    save(attach(LLAMA.make(), lora(4, placement="attention"), seed=7), tmp_path, base_fingerprint="abc")
    spec = json.loads((tmp_path / "rankwise.json").read_text())
    assert spec["seed"] == 7
    assert spec["base_fingerprint"] == "abc"
    assert spec["adapter"]["placement"] == {"name": "attention"}
