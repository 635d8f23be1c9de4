import pytest
import torch

from rankwise.errors import UsageError
from rankwise.models import byte_tokenizer, fingerprint, tiny_model

KINDS = ["llama", "gpt2", "qwen2", "gemma2", "opt"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_small_causal_model_of_its_seed(kind):
    model = tiny_model(3, kind)
    assert not model.training
    assert fingerprint(tiny_model(3, kind)) == fingerprint(model) != fingerprint(tiny_model(4, kind))
    assert sum(p.numel() for p in model.parameters()) < 150_000
    ids = torch.arange(65, 77)[None]
    other = ids.clone()
    other[0, 6] = 200
    with torch.no_grad():
        first, second = model(ids).logits[0], model(other).logits[0]
    assert torch.equal(first[:6], second[:6])  # no token sees a later one
    assert ((first[6:] - second[6:]).abs().amax(dim=1) > 1e-3).all()  # every token sees the earlier ones


@pytest.mark.parametrize("kind", KINDS)
def test_biases_and_norms_are_random(kind):
    vectors = {name: p for name, p in tiny_model(0, kind).named_parameters() if p.dim() == 1}
    assert all(p.std() > 0.02 for p in vectors.values())
    assert any(name.endswith("bias") for name in vectors) == (kind not in ("llama", "gemma2"))


def test_the_global_random_stream_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    tiny_model(1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_options(kind):
    model = tiny_model(kind=kind, vocab=300, dtype=torch.float64, tied=False)
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert model.get_output_embeddings().weight.shape[0] == 300
    assert model.get_output_embeddings().weight is not model.get_input_embeddings().weight
    tied = tiny_model(kind=kind)
    assert tied.get_output_embeddings().weight is tied.get_input_embeddings().weight
    assert tied.config.vocab_size == len(byte_tokenizer())


def test_grouped_heads():
    layer = tiny_model().model.layers[0].self_attn
    assert layer.q_proj.weight.shape == (64, 64)
    assert layer.k_proj.weight.shape == (32, 64)


def test_an_unknown_kind_is_named_with_its_neighbors():
    with pytest.raises(UsageError, match="did you mean 'llama'"):
        tiny_model(kind="lama")
