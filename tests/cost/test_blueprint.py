"""Models by config alone: where configs come from, and one sentence for each that cannot be used."""

import json

import pytest
import torch

from rankwise.cost import blueprint, model_shape
from rankwise.errors import UsageError
from rankwise.models import tiny_model


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2", "gemma2", "opt"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_config_gives_the_shapes_of_the_loaded_model(tmp_path, kind, tied):
    model = tiny_model(kind=kind, tied=tied)
    model.config.save_pretrained(tmp_path)
    for name in (tmp_path, tmp_path / "config.json"):
        drawn = blueprint(str(name)).model
        assert model_shape(drawn) == model_shape(model)
        assert {n: p.shape for n, p in drawn.named_parameters()} == {n: p.shape for n, p in model.named_parameters()}
        assert all(p.is_meta and p.dtype == torch.bfloat16 for p in drawn.parameters())


def test_default_and_tiny():
    assert model_shape(blueprint().model).parameters == 134_515_008
    assert blueprint("default").name == "SmolLM2-135M"
    assert model_shape(blueprint("tiny").model) == model_shape(tiny_model())


def write(folder, **values):
    config = {**tiny_model().config.to_dict(), **values}
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "rope",
    [
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512},
        {"rope_type": "linear", "factor": 2.0},
    ],
)
def test_scaled_positions(tmp_path, rope):
    path = write(tmp_path, rope_parameters={"rope_theta": 1e4, **rope})
    assert model_shape(blueprint(path).model) == model_shape(tiny_model())


def test_quantized_bases_are_counted_unquantized(tmp_path):
    found = blueprint(write(tmp_path, quantization_config={"quant_method": "gptq", "bits": 4}))
    assert model_shape(found.model) == model_shape(tiny_model())
    assert any("quantized" in note for note in found.notes)


def test_code_of_the_model_is_never_run(tmp_path):
    path = write(tmp_path, auto_map={"AutoModelForCausalLM": "evil.Model"})
    assert model_shape(blueprint(path).model) == model_shape(tiny_model())


def test_of_a_multimodal_model_the_language_part(tmp_path):
    text = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "vocab_size": 300, "head_dim": 16}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": text}), encoding="utf-8")
    found = blueprint(str(tmp_path))
    assert len(model_shape(found.model).linear) == 2 * 7
    assert any("language part" in note for note in found.notes)


def test_experts_are_named(tmp_path):
    values = {
        "model_type": "mixtral",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_local_experts": 4,
        "vocab_size": 100,
    }
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
    found = blueprint(str(tmp_path))
    assert any("experts" in note for note in found.notes)
    assert model_shape(found.model).parameters > 2 * 4 * 3 * 32 * 48


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Qwen2.5-0.5", "did you mean 'Qwen2.5-0.5B'"),
        ("llama2-70b", "LLaMA-2-70B"),
        ("no-such-model", "config.json"),
        ("nowhere/at/all", "does not exist"),
        ("missing.json", "no file missing.json"),
        ("nobody-at-all/no-model", "give its config.json"),
    ],
)
def test_unknown_names(name, says):
    with pytest.raises(UsageError, match=says):
        blueprint(name)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "line 1: broken JSON"),
        ("[1]", "expected a JSON object, found a list"),
        ("{}", "names no model_type"),
        (
            '{"model_type": "llama", "num_hidden_layers": 10000000}',
            "is 10,000,000; no more than 2,000",
        ),
        ('{"model_type": "gpt2", "n_layer": 1000000}', "n_layer is 1,000,000; no more than 2,000"),
        (
            '{"model_type": "x", "text_config": {"vocab_size": 1' + "0" * 400 + "}}",
            "is a number of more than",
        ),
        ('{"model_type": "llama", "num_attention_heads": 0}', "does not describe a causal language model"),
        ('{"model_type": "llama", "vocab_size": "x"}', "does not describe a causal language model"),
        ('{"model_type": "llama", "dtype": "nope"}', "does not describe a causal language model"),
        ('{"model_type": "llama", "pad_token_id": 1000000000}', "does not describe a causal language model"),
        ('{"model_type": "lama"}', "did you mean 'llama'"),
        ('{"model_type": "vit"}', "does not describe a causal language model"),
        ('{"model_type": "llama", "hidden_size": "wide"}', "does not describe a causal language model"),
        ('{"model_type": "llama", "hidden_size": 10, "num_attention_heads": 3}', "does not describe"),
    ],
)
def test_bad_configs(tmp_path, content, says):
    (tmp_path / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=says):
        blueprint(str(tmp_path))


def test_folders_without_a_model(tmp_path):
    with pytest.raises(UsageError, match=r"holds no config\.json"):
        blueprint(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UsageError, match="is an adapter"):
        blueprint(str(tmp_path))
