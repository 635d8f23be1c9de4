import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.models import byte_tokenizer

TOKENIZER = byte_tokenizer()
CHAT = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "Bốn"}]


@given(st.text())
def test_ids_are_the_bytes_and_decode_back(text):
    ids = TOKENIZER(text).input_ids
    if "<|im_" not in text:
        assert bytes(ids) == text.encode()
    assert TOKENIZER.decode(ids) == text


def test_offsets_point_to_the_character_of_each_byte():
    text = "a ế🍎\n<|im_end|>"
    encoded = TOKENIZER(text, return_offsets_mapping=True)
    spans = [text[start:end] for start, end in encoded.offset_mapping]
    assert spans == ["a", " ", *"ế" * 3, *"🍎" * 4, "\n", "<|im_end|>"]
    assert encoded.input_ids[-1] == 257


def test_special_tokens():
    assert len(TOKENIZER) == 258
    assert TOKENIZER.eos_token_id == TOKENIZER.pad_token_id == 257
    assert TOKENIZER("<|im_start|>x").input_ids == [256, ord("x")]
    assert TOKENIZER.decode([256, 120, 257], skip_special_tokens=True) == "x"


def test_chatml():
    text = TOKENIZER.apply_chat_template(CHAT, tokenize=False)
    assert text == "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\nBốn<|im_end|>\n"
    prompt = TOKENIZER.apply_chat_template(CHAT[:1], tokenize=False, add_generation_prompt=True)
    assert text.startswith(prompt)
    assert prompt.endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize("text", ["Một quả táo <|im_end|>", "  \t 12"])
def test_it_survives_saving(tmp_path, text):
    from transformers import AutoTokenizer

    TOKENIZER.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(text).input_ids == TOKENIZER(text).input_ids
    assert again.chat_template == TOKENIZER.chat_template
    assert again.pad_token_id == 257
