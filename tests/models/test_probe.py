"""Whether a model reads left to right, and how many positions it has: over architectures, asked of the model."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rankwise.errors import UsageError
from rankwise.models import byte_tokenizer, load_base, tiny_model
from rankwise.models.probe import is_causal, look, table_of_positions

SIZES = {
    "vocab_size": 258, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "n_embd": 32, "n_layer": 2, "n_head": 4, "embedding_size": 32,
    "max_position_embeddings": 64, "n_positions": 64, "num_local_experts": 4, "num_experts": 4,
    "num_experts_per_tok": 2, "state_size": 8, "rotary_dim": 4, "ffn_dim": 48, "word_embed_proj_dim": 32,
    "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64,
}  # fmt: skip
# Room in a table of positions: RoBERTa and OPT begin at their third row, and OPT's has two rows more.
ENCODERS = {"bert": 64, "roberta": 62, "electra": 64, "rembert": 64, "roformer": 64, "xlm-roberta": 62}
DECODERS = {
    "llama": None, "mistral": None, "gemma2": None, "gemma3_text": None, "mixtral": None, "flex_olmo": None,
    "qwen3_moe": None, "mamba": None, "jamba": None, "rwkv": None, "bloom": None, "mpt": None, "gpt2": 64, "gptj": 64,
    "opt": 64, "biogpt": 64, "ctrl": 64, "modernbert-decoder": None, "recurrent_gemma": None,
}  # fmt: skip


def make(kind, dtype=torch.float32, **more):
    """A random model of two layers, frozen."""
    known = AutoConfig.for_model(kind)
    config = type(known)(**{name: value for name, value in {**SIZES, **more}.items() if hasattr(known, name)})
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval().requires_grad_(False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_looks_ahead_unless_it_is_set_to_decode(kind, dtype):
    with pytest.raises(
        UsageError, match=r"is not causal: .* give a causal language model, or set \"is_decoder\""
    ) as why:
        look(make(kind, dtype), "it")
    assert "\n" not in str(why.value)
    assert look(make(kind, dtype, is_decoder=True), "it") == ENCODERS[kind]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", DECODERS)
def test_a_decoder_passes_with_the_room_it_has(kind, dtype):
    model = make(kind, dtype, **({"sliding_window": 8} if kind in ("mistral", "gemma2", "gemma3_text") else {}))
    assert look(model, "it") == DECODERS[kind]
    if room := DECODERS[kind]:
        model(input_ids=torch.full((1, room), 5))
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, room + 1), 5))


def leaking(of):
    """A llama in whose first layer every row hears of the last one."""
    model = tiny_model().requires_grad_(False)
    model.model.layers[0].mlp.register_forward_hook(lambda _, __, out: out + 1e-5 * of(out)[:, -1:])
    return model


def test_a_logit_that_moves_by_rounding_is_told_from_one_that_looks_ahead():
    rounding = leaking(lambda out: out.detach())  # another number, without a derivative
    ids = torch.arange(23)[None]
    other = ids.clone()
    other[0, -1] = 99
    assert not torch.equal(rounding(input_ids=ids).logits[0, :15], rounding(input_ids=other).logits[0, :15])
    assert is_causal(rounding)
    assert not is_causal(leaking(lambda out: out))


def test_an_encoder_is_refused_where_bases_are_loaded(tmp_path):
    make("bert").save_pretrained(tmp_path / "bert")
    byte_tokenizer().save_pretrained(tmp_path / "bert")
    with pytest.raises(UsageError, match="not causal"):
        load_base(str(tmp_path / "bert"))


def test_a_model_that_needs_more_than_ids_is_refused_in_one_sentence(monkeypatch):
    def needs(**given):
        raise ValueError("no pixels")

    model = tiny_model()
    monkeypatch.setattr(model, "forward", needs)
    with pytest.raises(UsageError, match=r"does not run on token ids alone \(no pixels\); give a causal"):
        look(model, "it")


def test_looking_leaves_the_model_as_it_was():
    model = make("gpt2")
    before = {name: p.clone() for name, p in model.named_parameters()}
    assert table_of_positions(model) == 64
    assert is_causal(model)
    assert not model.get_input_embeddings()._forward_hooks
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in model.named_parameters())
