"""Every end that some reply is trained to end with is one that decoding stops at, and no other."""

import pytest

from rankwise.data import Example, Message
from rankwise.data.ends import end_ids
from rankwise.data.render import encode
from rankwise.errors import UsageError

from .conftest import CHATML, make_tokenizer

TURN, TEXT, START = "<|im_end|>", "<|endoftext|>", "<|im_start|>"
LAST = CHATML.replace("'<|im_end|>\n'", "('<|endoftext|>' if loop.last else '<|im_end|>') + '\n'")
INST = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
)
CASES = {  # template, end of sequence, ends
    "one end": (CHATML, TURN, {TURN}),
    "a base whose turns end otherwise": (CHATML, TEXT, {TURN, TEXT}),
    "another end for the last turn": (LAST, TEXT, {TEXT}),
    "an end of text after the end of turn": (
        CHATML + "{{ '' if add_generation_prompt else eos_token }}",
        TEXT,
        {TURN, TEXT},
    ),
    "the end of sequence in brackets": (INST, TEXT, {TEXT}),
    "no template": (None, TEXT, {TEXT}),
    "a template that refuses what it is given": ("{{ raise_exception('no') }}", TEXT, {TEXT}),
    "a template without ends": ("{% for m in messages %}{{ m['content'] }}{% endfor %}", TEXT, {TEXT}),
    "no end of sequence": (CHATML, None, {TURN}),
}


def tokenizer_of(template, end):
    tokenizer = make_tokenizer(template)
    tokenizer.add_special_tokens({"eos_token": TEXT, "additional_special_tokens": [TURN, START]})
    tokenizer.eos_token = end
    return tokenizer


@pytest.mark.parametrize("case", CASES)
def test_the_ends_are_those_that_are_trained(case):
    template, end, wanted = CASES[case]
    tokenizer = tokenizer_of(template, end)
    found = end_ids(tokenizer)
    assert found == tuple(sorted(tokenizer.convert_tokens_to_ids(token) for token in wanted))
    one = (Message("user", "2 + 2?"), Message("assistant", "It is\n\n4."))
    for example in (Example(one, chat=False), Example(one), Example((*one, Message("user", "yes"), *one[1:]))):
        try:
            encoded = encode(example, tokenizer)
        except UsageError:
            continue
        masks = zip(encoded.target_mask, (*encoded.target_mask[1:], False), encoded.input_ids, strict=True)
        assert {i for here, after, i in masks if here and not after} <= set(found)
