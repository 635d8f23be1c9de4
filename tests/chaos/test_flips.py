"""A flipped bit, anywhere in what is resumed or handed on: it is noticed, or it changed nothing. Never a traceback."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from rankwise.adapters import load

from ..contract.models import LLAMA
from .flips import KINDS, Saved, undetected


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: type(kind).__name__)
def kind(request, tiny_base, tiny_splits, tmp_path_factory):
    """One kind of thing, the folder that holds a sound one, and what is read from it."""
    folder = tmp_path_factory.mktemp("sound")
    request.param.make(folder, tiny_base, tiny_splits)
    return request.param, folder, request.param.read(folder)


def test_no_flip_goes_unnoticed(kind, tmp_path):
    assert undetected(*kind, flips=24, scratch=tmp_path / "flipped") == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_flip_of_many_goes_unnoticed(kind, tmp_path):
    assert undetected(*kind, flips=500, scratch=tmp_path / "flipped") == []


def test_what_another_program_saved_again_is_of_other_origin(tmp_path):
    """Its tensors count, whatever they are, and our sums of the small files no longer do."""
    from safetensors.torch import save_file

    folder = tmp_path / "a"
    Saved().make(folder, None, None)
    for name in ("rankwise.json", "rankwise_start.safetensors"):
        (folder / name).unlink()  # the way out that we name: PEFT's two files are plain LoRA
    path, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    tensors = {key: 2 * value for key, value in load_file(path).items()}
    save_file(tensors, path, {"format": "pt"})
    config.write_text(json.dumps({**json.loads(config.read_text()), "lora_dropout": 0.25}))
    handle = load(LLAMA.make(torch.float32), folder)
    assert handle.adapter.dropout == 0.25
    saved = handle.slots["model.layers.0.mlp.up_proj"].own["A"]
    assert torch.equal(saved, tensors["base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"])
