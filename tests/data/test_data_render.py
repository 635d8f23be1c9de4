from datetime import datetime

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from rankwise.data import Encoded, Example, Message, preview
from rankwise.data.render import date_note, encode, encode_split, prompt_ids
from rankwise.errors import UsageError

from .conftest import CHATML, make_tokenizer

U, A, S = "user", "assistant", "system"


def chat(*turns: tuple[str, str]) -> Example:
    return Example(tuple(Message(*turn) for turn in turns))


def shown(encoded: Encoded, tokenizer) -> str:
    """The text with targets in square brackets."""
    out, inside = "", False
    for text, target in preview(encoded, tokenizer):
        if target != inside:
            out += "[" if target else "]"
            inside = target
        out += text
    return out + ("]" if inside else "")


def test_mask_by_hand(tokenizer) -> None:
    encoded = encode(chat((U, "hi"), (A, "yo")), tokenizer)
    # <|im_start|> u s e r \n h i <|im_end|> \n <|im_start|> a s s i s t a n t \n | y o <|im_end|>
    prompt = 1 + 4 + 1 + 2 + 1 + 1 + 1 + 9 + 1
    assert encoded.target_mask == (False,) * prompt + (True,) * 3
    end = tokenizer.eos_token_id
    assert encoded.input_ids[-1] == end
    assert encoded.input_ids.count(end) == 2
    assert encoded.targets == 3


def test_every_assistant_turn_learns_and_its_end_of_turn_is_inside(tokenizer) -> None:
    example = chat((S, "be"), (U, "a"), (A, "b c"), (U, "d"), (A, "é"))
    assert shown(encode(example, tokenizer), tokenizer) == (
        "<|im_start|>system\nbe<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n[b c<|im_end|>]\n"
        "<|im_start|>user\nd<|im_end|>\n<|im_start|>assistant\n[é<|im_end|>]"
    )


def test_pad_equals_eos_and_the_user_end_of_turn_is_still_no_target(tokenizer) -> None:
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    encoded = encode(chat((U, "hi"), (A, "yo")), tokenizer)
    ends = [n for n, token in enumerate(encoded.input_ids) if token == tokenizer.eos_token_id]
    assert [encoded.target_mask[n] for n in ends] == [False, True]


def test_a_later_user_turn_is_cut_off(tokenizer) -> None:
    short, long = chat((U, "a"), (A, "b")), chat((U, "a"), (A, "b"), (U, "more"))
    assert encode(long, tokenizer) == encode(short, tokenizer)


def test_a_prompt_turn_of_the_assistant_is_read_but_not_learned(tokenizer) -> None:
    messages = (Message(U, "a"), Message(A, "b", learn=False), Message(U, "c"), Message(A, "d"))
    assert "b<|im_end|>" in (text := shown(encode(Example(messages), tokenizer), tokenizer))
    assert text.count("[") == 1
    assert text.endswith("[d<|im_end|>]")


def test_a_token_across_the_border_is_a_target() -> None:
    tokenizer = make_tokenizer(merges=(("Ċ", "y"),))  # a newline and y become one token
    encoded = encode(chat((U, "hi"), (A, "yo")), tokenizer)
    assert shown(encoded, tokenizer).endswith("assistant[\nyo<|im_end|>]")


@pytest.mark.parametrize("chatty", [True, False])
def test_without_template_prompt_completion_eos(chatty: bool) -> None:
    tokenizer = make_tokenizer(None)
    example = Example((Message(U, "2+2="), Message(A, "4")), chat=chatty)
    assert shown(encode(example, tokenizer), tokenizer) == ("2+2=\n" if chatty else "2+2=") + "[4<|im_end|>]"


def test_plain_examples_ignore_the_template(tokenizer) -> None:
    example = Example((Message(U, "2+2="), Message(A, "4")), chat=False)
    assert shown(encode(example, tokenizer), tokenizer) == "2+2=[4<|im_end|>]"


@pytest.mark.parametrize("prompt", ["hi", "<|im_start|>hi"])
def test_one_bos(prompt: str) -> None:
    tokenizer = make_tokenizer(bos=True)
    plain = encode(Example((Message(U, prompt), Message(A, "yo")), chat=False), tokenizer)
    assert shown(plain, tokenizer) == "<|im_start|>hi[yo<|im_end|>]"
    assert encode(chat((U, "hi"), (A, "yo")), tokenizer).input_ids.count(tokenizer.bos_token_id) == 2  # two turns


def test_position_zero_is_never_a_target() -> None:
    tokenizer = make_tokenizer(None)
    encoded = encode(Example((Message(U, ""), Message(A, "abc")), chat=False), tokenizer)
    assert encoded.target_mask == (False, True, True, True)
    with pytest.raises(ValueError, match="position 0"):
        Encoded((1, 2), (True, True))


def test_truncation_keeps_the_start_and_drops_what_has_no_target(tokenizer) -> None:
    short, long = chat((U, "hi"), (A, "yo")), chat((U, "h" * 50), (A, "yo"))
    whole = encode(short, tokenizer)
    kept, notes = encode_split((short, long), tokenizer, max_length=22, split="train")
    assert kept == (Encoded(whole.input_ids[:22], whole.target_mask[:22]),)
    assert kept[0].targets == 1
    assert notes == (
        "1 train examples cut at 22 tokens",
        "1 train examples dropped: no token to learn within 22 tokens",
    )


def test_truncation_inside_a_second_prompt_ends_at_the_last_target(tokenizer) -> None:
    example = chat((U, "a"), (A, "b"), (U, "c" * 40), (A, "d"))
    kept, _ = encode_split((example,), tokenizer, max_length=40, split="train")
    assert kept == (encode(chat((U, "a"), (A, "b")), tokenizer),)


def test_all_labels_masked(tokenizer) -> None:
    with pytest.raises(UsageError, match="all labels are masked in the test split"):
        encode_split((chat((U, "hi"), (A, "yo")),), tokenizer, max_length=5, split="test")
    with pytest.raises(UsageError, match="all labels are masked"):
        encode_split((chat((U, "hi"), (A, "  ")),), tokenizer, max_length=50, split="test")


def test_a_template_that_rewrites_earlier_turns_is_refused() -> None:
    template = CHATML.replace("message['content']", "(message['content'] if loop.last else 'x')")
    with pytest.raises(UsageError, match="rewrites earlier turns"):
        encode(chat((U, "a"), (A, "b"), (U, "c"), (A, "d")), make_tokenizer(template))


def test_a_template_that_drops_the_thinking_is_refused() -> None:
    template = CHATML.replace("message['content']", "message['content'].split('</think>')[-1]")
    example = chat((U, "a"), (A, "<think>\nb\n</think>\nc"))
    with pytest.raises(UsageError, match="drops the assistant's words"):
        encode(example, make_tokenizer(template))


def test_a_template_may_change_white_space() -> None:
    template = CHATML.replace("message['content']", "message['content'].replace('</think>\n', '</think>\n\n') | trim")
    tokenizer = make_tokenizer(template)
    text = shown(encode(chat((U, "a"), (A, "<think>\nb\n</think>\nc ")), tokenizer), tokenizer)
    assert text.endswith("[<think>\nb\n</think>\n\nc<|im_end|>]")


def test_only_the_first_token_after_the_words_is_learned() -> None:
    # Phi-3 style: an end-of-turn token, then an end-of-text token when the conversation is over.
    template = CHATML + "{% if not add_generation_prompt %}{{ '<|im_start|>' }}{% endif %}"
    tokenizer = make_tokenizer(template)
    assert shown(encode(chat((U, "a"), (A, "b")), tokenizer), tokenizer).endswith("[b<|im_end|>]")


def test_a_template_without_end_of_turn_is_refused() -> None:
    template = CHATML.replace("<|im_end|>", "").replace("<|im_start|>", "## ")
    with pytest.raises(UsageError, match="no special token after an assistant turn"):
        encode(chat((U, "a"), (A, "b")), make_tokenizer(template))


def test_a_template_that_refuses_a_role_says_so() -> None:
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system, please') }}{% endif %}" + CHATML
    with pytest.raises(UsageError, match="refuses a conversation of system, user, assistant: no system, please"):
        encode(chat((S, "s"), (U, "a"), (A, "b")), make_tokenizer(template))


CLOCKS = {
    "Llama 3": "{{ date_string if date_string is defined else strftime_now('%d %b %Y') }}",
    "SmolLM 3": "{%- set today = strftime_now('%d %B %Y') -%}{{ today }}",
    "an argument alone": "{{ date_string }}",
    "to the microsecond": "{% if strftime_now is defined %}{{ strftime_now('%c %f %j %U') }}{% endif %}",
    "kept in a namespace": "{% set n = namespace(t=strftime_now('%H:%M')) %}{{ n.t }}",
    "without a system message": "{% if messages[0]['role'] != 'system' %}{{ strftime_now('%A') }}{% endif %}",
    "arithmetic": "{{ strftime_now('%Y') | int - 1900 }}",
}


@pytest.mark.parametrize("template", CLOCKS.values(), ids=CLOCKS)
def test_the_ids_are_the_same_tomorrow_and_it_is_said(template, monkeypatch) -> None:
    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 2, 3, 4, 5, 6, 7)

    tokenizer = make_tokenizer(template + "\n" + CHATML)
    opened, bare = chat((S, "s"), (U, "a"), (A, "b")), chat((U, "a"), (A, "b"))
    today = encode(bare, tokenizer), prompt_ids(bare.messages[:1], tokenizer)
    monkeypatch.setattr(chat_template_utils, "datetime", Tomorrow)
    tokenizer.chat_template += "{# another cache entry #}"
    assert (encode(bare, tokenizer), prompt_ids(bare.messages[:1], tokenizer)) == today
    assert chat_template_utils.datetime is Tomorrow, "the clock goes on for everyone else"
    assert shown(today[0], tokenizer).startswith(tokenizer.decode(today[1]))
    (said,) = date_note([opened, bare, opened], tokenizer)
    assert "it is 2024-07-26 00:00 in every example and prompt" in said


def test_llama_3_keeps_the_date_it_had_and_others_say_nothing(tokenizer) -> None:
    llama = make_tokenizer(CLOCKS["Llama 3"] + "\n" + CHATML)
    assert shown(encode(chat((U, "a"), (A, "b")), llama), llama).startswith("26 Jul 2024\n")
    plain = Example((Message(U, "a"), Message(A, "b")), chat=False)
    assert date_note([plain], llama) == date_note([chat((U, "a"), (A, "b"))], tokenizer) == ()
    assert date_note([chat((U, "a"), (A, "b"))], make_tokenizer(None)) == ()


def test_preview_keeps_the_spaces_of_a_tokenizer_that_drops_the_first_one() -> None:
    """Sentencepiece writes a space before every word and takes the first away when it decodes."""
    pieces = ["<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), "\u2581", "\u2581red", "\u2581fox", ".", "e", "s"]
    inner = Tokenizer(models.BPE({piece: n for n, piece in enumerate(pieces)}, [], byte_fallback=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    inner.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", bos_token="<s>")
    words = [pieces.index(piece) for piece in ("\u2581red", "\u2581fox", "e", "s", ".", "\u2581")]
    ids = [0, *words, 2 + 0xC3, 2 + 0xA9, 1]
    shown = preview(Encoded(tuple(ids), (False,) * len(ids)), tokenizer)
    assert [text for text, _ in shown] == ["<s>", " red", " fox", "e", "s", ".", " ", "", "é", "</s>"]
    assert "".join(text for text, _ in shown) == tokenizer.decode(ids)


def test_preview_shows_a_character_once_at_its_last_byte(tokenizer) -> None:
    encoded = encode(chat((U, "a"), (A, "ữ")), tokenizer)
    assert preview(encoded, tokenizer)[-4:] == [("", True), ("", True), ("ữ", True), ("<|im_end|>", True)]
