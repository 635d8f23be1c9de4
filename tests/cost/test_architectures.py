"""Built-in configs against the parameter counts the models' makers publish."""

import pytest

from rankwise.cost import blueprint, model_shape
from rankwise.cost.architectures import ARCHITECTURES, known

PUBLISHED = {
    "LLaMA-2-7B": 6_738_415_616,
    "LLaMA-2-13B": 13_015_864_320,
    "LLaMA-2-70B": 68_976_648_192,
    "Llama-3.1-8B": 8_030_261_248,
    "Llama-3.2-1B": 1_235_814_400,
    "Mistral-7B-v0.1": 7_241_732_096,
    "Qwen2.5-0.5B": 494_032_768,
    "Qwen2.5-7B": 7_615_616_512,
    "Qwen3-8B": 8_190_735_360,
    "Gemma-2-2B": 2_614_341_888,
    "SmolLM2-135M": 134_515_008,
    "GPT-2": 124_439_808,
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_published_parameter_count(name):
    model = blueprint(name).model
    assert all(p.is_meta for p in model.parameters())
    assert model_shape(model).parameters == PUBLISHED[name]


@pytest.mark.parametrize(
    ("spelled", "canonical"),
    [
        ("llama-2-70b", "LLaMA-2-70B"),
        ("meta-llama/Llama-2-7b-chat-hf", "LLaMA-2-7B"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "Llama-3.1-8B"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen2.5-0.5B"),
        ("google/gemma-2-2b-it", "Gemma-2-2B"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "SmolLM2-135M"),
        ("openai-community/gpt2", "GPT-2"),
        ("mistralai/Mistral-7B-Instruct-v0.2", "Mistral-7B-v0.1"),
        ("mistralai/Mistral-7B-v0.3", None),  # another vocabulary
        ("Qwen/Qwen2.5-0.5B-Coder", None),
    ],
)
def test_spellings(spelled, canonical):
    assert known(spelled) == canonical
