"""Batched greedy decoding equals argmax after argmax, one prompt at a time, without a cache."""

from dataclasses import replace

import pytest
import torch
from transformers import GenerationConfig

import rankwise as rw
from rankwise.data import Example, Message
from rankwise.data.render import encode, prompt_ids
from rankwise.engine.evaluation import patience
from rankwise.engine.evaluation.generate import greedy, prompt_of, stop_ids
from rankwise.errors import UsageError
from rankwise.models import Base, byte_tokenizer, load_base, tiny_model

PROMPTS = [[5, 6, 7], [200], [9, 8, 7, 6, 5, 4, 3, 2], [31, 32, 33, 34]]
NEW = 12


@pytest.fixture
def base():
    return load_base("tiny", dtype=torch.float32)


def by_hand(base, prompt, new=NEW):
    ids, stops, out = list(prompt), stop_ids(base), []
    for _ in range(new):
        with torch.no_grad():
            following = int(base.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if following in stops:
            break
        ids.append(following)
        out.append(following)
    return base.tokenizer.decode(out, skip_special_tokens=True)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2"])
@pytest.mark.parametrize("batch", [1, 3])
def test_equals_argmax_by_hand(kind, batch):
    base = Base(tiny_model(kind=kind, tied=False), byte_tokenizer(), "tiny", "x")
    texts = greedy(base, PROMPTS, max_new_tokens=NEW, batch=batch)
    assert texts == [by_hand(base, prompt) for prompt in PROMPTS]
    assert len(set(texts)) > 1
    assert texts == greedy(base, PROMPTS, max_new_tokens=NEW, batch=batch)


def test_an_attached_adapter_acts_without_its_dropout(base):
    before = greedy(base, PROMPTS, max_new_tokens=NEW, batch=4)
    handle = rw.attach(base.model, rw.methods.build("lora", rank=4, dropout=0.5), seed=0)
    with torch.no_grad():
        for name, p in handle.trainable().items():
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name))))
    for slot in handle.slots.values():
        slot.train()
    stream = handle.generator.get_state()
    texts = greedy(base, PROMPTS, max_new_tokens=NEW, batch=4)
    assert torch.equal(handle.generator.get_state(), stream)
    assert all(slot.training for slot in handle.slots.values())
    base.model.eval()
    assert texts == [by_hand(base, prompt) for prompt in PROMPTS]
    assert texts != before
    handle.detach()
    assert greedy(base, PROMPTS, max_new_tokens=NEW, batch=4) == before


def test_the_models_own_settings_do_not_act_and_stay(base):
    plain = greedy(base, PROMPTS, max_new_tokens=NEW, batch=2)
    own = GenerationConfig(do_sample=True, temperature=9.0, repetition_penalty=5.0, max_length=4)
    base.model.generation_config = own
    assert greedy(base, PROMPTS, max_new_tokens=NEW, batch=2) == plain
    assert base.model.generation_config is own
    assert own.repetition_penalty == 5.0


def test_stops_at_every_stop_token_of_the_model(base):
    with torch.no_grad():
        first = int(base.model(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1].argmax())
    base.model.generation_config = GenerationConfig(eos_token_id=[first, 257])
    assert stop_ids(base) == sorted({first, 257})
    texts = greedy(base, PROMPTS, max_new_tokens=NEW, batch=4)
    assert texts[0] == ""
    assert texts == [by_hand(base, prompt) for prompt in PROMPTS]


def test_a_prompt_is_what_precedes_the_first_target(base):
    turns = (Message("system", "Be brief."), Message("user", "2 + 2?"))
    example = Example((*turns, Message("assistant", "4")))
    encoded = encode(example, base.tokenizer)
    assert list(prompt_of(encoded)) == prompt_ids(turns, base.tokenizer)
    plain = Example((Message("user", "2 + 2 = "), Message("assistant", "4")), chat=False)
    encoded = encode(plain, base.tokenizer)
    assert list(prompt_of(encoded)) == prompt_ids(plain.messages[:1], base.tokenizer, chat=False)


def test_bad_prompts_are_refused(base):
    with pytest.raises(UsageError, match="prompt 2 of 2 has no tokens"):
        greedy(base, [[1], []], max_new_tokens=4, batch=2)
    with pytest.raises(UsageError, match=r"2,047 tokens and 4 new ones do not fit into the 2,048"):
        greedy(base, [[1] * 2047], max_new_tokens=4, batch=2)
    with pytest.raises(UsageError, match="max_new_tokens must be at least 1"):
        greedy(base, [[1]], max_new_tokens=0, batch=2)
    with pytest.raises(UsageError, match=r"no generate\(\)"):
        greedy(replace(base, model=torch.nn.Linear(2, 2)), [[1]], max_new_tokens=1)
    assert greedy(base, [], max_new_tokens=4) == []


def test_a_long_decoding_says_how_far_it_is_and_changes_nothing(base, monkeypatch):
    monkeypatch.setattr(patience, "EVERY", -1.0)
    monkeypatch.setattr(patience, "LONG", 6)
    said = []
    texts = greedy(base, PROMPTS, max_new_tokens=NEW, batch=3, tell=said.append)
    assert texts == greedy(base, PROMPTS, max_new_tokens=NEW, batch=3)
    assert said[0] == "Reading 3 prompts of up to 8 tokens; the first word comes after that."
    assert said[1] == f"0 of 4 prompts answered, 1 of at most {NEW} tokens of the next 3; 0 s left at most"
    assert said[-1].startswith("3 of 4 prompts answered")


@pytest.mark.parametrize("most", [10**12, 10**30])
def test_an_endless_request_is_refused_where_the_model_ends_and_else_ends_with_the_reply(most, base, monkeypatch):
    with pytest.raises(
        UsageError, match=r"new ones do not fit into the 2,048 positions of tiny; shorten the prompt or"
    ):
        greedy(base, PROMPTS, max_new_tokens=most)
    with pytest.raises(
        UsageError, match=r"a prompt of 20,000 tokens and 4 new ones do not fit into the 2,048 positions"
    ):
        greedy(base, [[7] * 20_000], max_new_tokens=4)
    monkeypatch.setattr(Base, "room", None)  # a model that states no end
    second = greedy(base, PROMPTS, max_new_tokens=4)
    monkeypatch.setattr("rankwise.engine.evaluation.generate.stop_ids", lambda base: list(range(258)))
    assert greedy(base, PROMPTS, max_new_tokens=most) == ["", "", "", ""] != second
