"""Merging from files: the live adapter's logits, one rounding, little memory, and the base as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rankwise.adapters import attach, load
from rankwise.errors import RunError, UsageError
from rankwise.integrations.merge import merge
from rankwise.methods import bitfit, build, lora, olora, qlora
from rankwise.models import load_base

from .tools import adapter_folder, base_folder, tree

pytestmark = pytest.mark.filterwarnings("ignore")
IDS = torch.arange(40)[None] * 5 % 250


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS, use_cache=False).logits


def live_logits(base, adapter):
    model = load_base(str(base), dtype=torch.float32).model
    load(model, adapter)
    return logits(model)


def tensors_of(folder):
    found = {}
    for path in Path(folder).glob("*.safetensors"):
        found |= load_file(path)
    return found


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2"])
@pytest.mark.parametrize("method", ["lora", "olora", "dora", "rslora", "adalora", "vera", "lora_xs", "lora_fa"])
def test_merged_is_live(kind, method, tmp_path):
    adapter = build(method, rank=4)
    base = tmp_path / "base"
    model = base_folder(base, kind)
    move = 0.5 if method == "vera" else 0.05  # two vectors a layer, beside whole factors
    folder = adapter_folder(model, tmp_path / "a", adapter, base, move=move)
    before = tree(base)
    done = merge(str(base), folder, tmp_path / "out")
    assert tree(base) == before
    expected = live_logits(base, folder)
    merged = load_base(str(tmp_path / "out"), dtype=torch.float32)
    assert (logits(merged.model) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert (logits(model) - expected).abs().max() > 0.05 * expected.abs().max()
    assert done.proof.stored == 0, "the very same numbers as the sums made in memory"
    assert done.changed == len(load(load_base(str(base)).model, folder).layers)
    one, two = (json.loads((f / "model.safetensors.index.json").read_text()) for f in (base, tmp_path / "out"))
    assert one["weight_map"] == two["weight_map"]
    assert one["metadata"]["total_size"] == two["metadata"]["total_size"]
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (base / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert not done.untied


def test_what_is_no_update_of_these_weights_is_refused(tmp_path):
    model = base_folder(tmp_path / "base", "gpt2")
    folder = adapter_folder(model, tmp_path / "bits", bitfit("all-linear"), "base")
    with pytest.raises(UsageError, match="is not an update of weights"):
        merge(str(tmp_path / "base"), folder, tmp_path / "out")
    pytest.importorskip("bitsandbytes", reason="storage 'nf4' needs bitsandbytes: pip install 'rankwise[quant]'")
    folder = adapter_folder(model, tmp_path / "codes", qlora(4), "base")
    with pytest.raises(UsageError, match=r"trained beside W0 in nf4; .* another model.*merge\(\)"):
        merge(str(tmp_path / "base"), folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_rounding_at_the_end(tmp_path):
    """bfloat16 base: every merged weight is the float32 sum, rounded once; every other tensor is the base's bytes."""
    model = base_folder(tmp_path / "base", dtype=torch.bfloat16)
    folder = adapter_folder(model, tmp_path / "a", olora(4, placement="attention"), "base", move=0.01)
    merge(str(tmp_path / "base"), folder, tmp_path / "out")
    handle = load(model, folder)
    base, out = tensors_of(tmp_path / "base"), tensors_of(tmp_path / "out")
    assert base.keys() == out.keys()
    for name, tensor in base.items():
        path = name.removesuffix(".weight")
        if path in handle.layers:
            tensor = (tensor.float() + handle.delta(path)).bfloat16()
            assert not torch.equal(tensor, base[name])
        assert torch.equal(out[name], tensor), name


def test_a_wider_dtype_keeps_what_rounding_would_lose(tmp_path):
    model = base_folder(tmp_path / "base", dtype=torch.bfloat16)
    folder = adapter_folder(model, tmp_path / "a", lora(4), "base", move=1e-3)
    narrow = merge(str(tmp_path / "base"), folder, tmp_path / "narrow")
    wide = merge(str(tmp_path / "base"), folder, tmp_path / "wide", dtype="float32")
    assert narrow.proof.difference > 20 * wide.proof.difference
    assert "--dtype float32 keeps it" in " ".join(narrow.notes)
    assert {t.dtype for t in tensors_of(tmp_path / "wide").values()} == {torch.float32}
    assert json.loads((tmp_path / "wide" / "config.json").read_text())["dtype"] == "float32"


@pytest.mark.parametrize("what", ["table", "head", "whole head", "both"])
@pytest.mark.parametrize("tied", [True, False])
def test_tied_embeddings_are_untied_only_where_one_of_them_changes(what, tied, tmp_path):
    peft = pytest.importorskip("peft")
    base = tmp_path / "base"
    model = base_folder(base, tied=tied)
    options = {
        "table": {"target_modules": ["embed_tokens"]},
        "head": {"target_modules": ["lm_head"]},
        "whole head": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        "both": {"target_modules": ["embed_tokens", "lm_head"]},
    }[what]
    torch.manual_seed(0)
    theirs = peft.get_peft_model(model, peft.LoraConfig(r=4, init_lora_weights=False, **options)).eval()
    with torch.no_grad():
        for name, p in theirs.named_parameters():
            if "modules_to_save" in name:
                p.mul_(1.2)
    theirs.save_pretrained(tmp_path / "a")
    done = merge(str(base), tmp_path / "a", tmp_path / "out")
    assert done.untied is tied
    merged = load_base(str(tmp_path / "out"), dtype=torch.float32).model
    expected = logits(theirs)
    assert (logits(merged) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is False
    where = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())["weight_map"]
    assert set(where) == set(tensors_of(tmp_path / "out")) >= {"lm_head.weight", "model.embed_tokens.weight"}


def test_merging_what_peft_made_without_a_fingerprint_says_so(tmp_path):
    peft = pytest.importorskip("peft")
    model = base_folder(tmp_path / "base")
    peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "a")
    done = merge(str(tmp_path / "base"), tmp_path / "a", tmp_path / "out")
    assert "does not say which base" in done.notes[0]


def test_a_failed_proof_leaves_nothing(tmp_path, monkeypatch):
    model = base_folder(tmp_path / "base")
    folder = adapter_folder(model, tmp_path / "a", lora(4), "base")
    real = torch.Tensor.to
    from rankwise.integrations.merge import plan as module

    monkeypatch.setattr(module.orientation, "stored", lambda layer, W: W * 1.01)
    before = tree(tmp_path)
    with pytest.raises(RunError, match="nothing was kept"):
        merge(str(tmp_path / "base"), folder, tmp_path / "out")
    assert torch.Tensor.to is real
    assert tree(tmp_path) == before
    assert {p.name for p in tmp_path.iterdir()} == {"base", "a"}


def _wrong_base(base, adapter):
    base_folder(base, seed=1)


def _wrong_shape(base, adapter):
    base_folder(base, "qwen2")
    (adapter / "rankwise.json").unlink()


def _truncated(base, adapter):
    path = next(base.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-8])


def _truncated_adapter(base, adapter):
    path = adapter / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def _pickle(base, adapter):
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")


def _pickled_base(base, adapter):
    for path in base.glob("*.safetensors"):
        path.rename(path.with_suffix(".bin"))


def _nan(base, adapter):
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, path, {"format": "pt"})


def _unknown_type(base, adapter):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "peft_type": "VERA"}))
    (adapter / "rankwise.json").unlink()
    (adapter / "rankwise.sha256").unlink()


def _escaping_shard(base, adapter):
    path = base / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["model.norm.weight"] = "../secret.safetensors"
    path.write_text(json.dumps(index))


def _escaping_tensor(base, adapter):
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors["base_model.model.../../evil.lora_A.weight"] = torch.zeros(2, 2)
    save_file(tensors, path, {"format": "pt"})


def _quantized(base, adapter):
    path = base / "config.json"
    quantization = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": quantization}))


def _no_adapter(base, adapter):
    for path in adapter.iterdir():
        path.unlink()


BAD = [
    (_wrong_base, "was trained on another base"),
    (_wrong_shape, "another base|this model needs"),
    (_truncated, "is truncated or damaged"),
    (_truncated_adapter, "is damaged or truncated"),
    (_pickle, "holds a pickle"),
    (_pickled_base, "a pickle that could run code|lacks"),
    (_nan, "holds NaN or infinity"),
    (_unknown_type, "holds a 'VERA' adapter"),
    (_escaping_shard, "is not a file of that folder"),
    (_escaping_tensor, "has no place for"),
    (_quantized, "is quantized"),
    (_no_adapter, "is not an adapter"),
]


@pytest.mark.parametrize(("spoil", "words"), BAD, ids=[spoil.__name__.strip("_") for spoil, _ in BAD])
@pytest.mark.parametrize("command", ["merge", "export", "compress", "generate", "eval"])
def test_bad_input_is_one_sentence_and_nothing_written(command, spoil, words, tmp_path, capsys, monkeypatch):
    import re

    from rankwise.cli.main import main

    base, out = tmp_path / "base", tmp_path / "out"
    adapter = adapter_folder(base_folder(base), tmp_path / "a", lora(4), base)
    spoil(base, adapter)
    before = tree(tmp_path)
    arguments = {
        "merge": ["merge", str(base), str(adapter), "--out", str(out)],
        "export": ["export", str(adapter), "--for", "vllm", "--out", str(out)],
        "compress": ["compress", str(adapter), "--rank", "2", "--out", str(out)],
        "generate": ["generate", "hello", "--adapter", str(adapter)],
        "eval": ["eval", str(adapter)],
    }[command]
    if command != "merge" and spoil is _quantized:
        pytest.skip("the model loader's own check (bitsandbytes)")
    assert main(arguments) == 2
    shown = capsys.readouterr()
    said = shown.err.strip().splitlines()[-1]
    assert re.search(words, said), said
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert tree(tmp_path) == before
    assert not out.exists()


@pytest.mark.parametrize("place", ["base", "a", "base/merged", "there"])
def test_an_output_that_is_not_new_is_refused(place, tmp_path):
    model = base_folder(tmp_path / "base")
    folder = adapter_folder(model, tmp_path / "a", lora(4), "base")
    (tmp_path / "there").mkdir()
    before = tree(tmp_path)
    words = {"base": "is the base itself", "a": "is the adapter itself", "base/merged": "lies inside the base"}
    with pytest.raises(UsageError, match=words.get(place, "exists already and is not overwritten")):
        merge(str(tmp_path / "base"), folder, tmp_path / place)
    assert tree(tmp_path) == before


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    model = base_folder(tmp_path / "base")
    folder = adapter_folder(model, tmp_path / "a", lora(4), "base")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rankwise.integrations.merge.run._copy_rest", full)
    with pytest.raises(OSError, match="No space"):
        merge(str(tmp_path / "base"), folder, tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"base", "a"}


MEASURE = """
import re, sys, gc
from pathlib import Path
import torch, transformers
from rankwise.integrations.merge import merge
import rankwise.integrations.merge.run, rankwise.studies.modelcard

def memory(field):
    return int(re.search(rf"{field}:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

small, base, adapter, out = sys.argv[1:]
merge(small + "/base", Path(small + "/a"), Path(small + "/out"), check=False)  # every import and cache is warm
gc.collect()
Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from here
before = memory("VmRSS")
merge(base, Path(adapter), Path(out), check=False)
print(memory("VmHWM") - before)
"""


@pytest.mark.slow
def test_peak_memory_is_below_the_largest_file_and_a_fifth(tmp_path):
    """float32 sums of a bfloat16 model of four files, measured by VmHWM in a process of its own."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=10,
        num_attention_heads=8,
        num_key_value_heads=2,
        vocab_size=2048,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).bfloat16().eval()
    model.save_pretrained(tmp_path / "base", max_shard_size="70MB")
    adapter_folder(model, tmp_path / "a", lora(4), "base")
    del model
    (tmp_path / "small").mkdir()
    small = base_folder(tmp_path / "small" / "base")
    adapter_folder(small, tmp_path / "small" / "a", lora(4), "base")
    paths = [tmp_path / name for name in ("small", "base", "a", "out")]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, paths)],
        # Tensors below 32 MB may stay in glibc's heap after they are freed, now and then; those of a real model do not.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**20)},
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    peak = int(done.stdout)
    files = [path.stat().st_size for path in (tmp_path / "out").glob("*.safetensors")]
    print(f"peak {peak / 1e6:.0f} MB; files {[round(size / 1e6) for size in files]} MB")
    assert len(files) >= 3
    assert sum(files) > 2.5 * max(files)
    assert peak <= 1.2 * max(files)


def test_every_written_file_opens(tmp_path):
    model = base_folder(tmp_path / "base", "gpt2")
    folder = adapter_folder(model, tmp_path / "a", lora(4), "base")
    merge(str(tmp_path / "base"), folder, tmp_path / "out", check=False)
    for path in (tmp_path / "out").glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            assert file.metadata().keys() == {"format", "rankwise.digest"}
            assert len(list(file.keys())) > 0
    assert attach(load_base(str(tmp_path / "out")).model, lora(2)).layers
