"""Chat templates that never end, fill the memory or fail as programs do: one sentence each, and the rest as before."""

import time
from copy import copy

import pytest

from rankwise.data import Example, Message
from rankwise.data import template_limits as limits
from rankwise.data.render import encode, prompt_ids
from rankwise.errors import UsageError

CHAT = Example((Message("user", "hi"), Message("assistant", "yo")))


def loop(body, condition=""):
    return f"{{% for a in range(100000){condition} %}}{body}{{% endfor %}}"


HOSTILE = {
    "a division by zero": ("{{ 1/0 }}", "ZeroDivisionError"),
    "text and a number": ("{{ 'a' + 1 }}", "TypeError"),
    "a long text": ("{{ 'a' * 9999999999 }}", "9,999,999,999 parts"),
    "the other way round": ("{% set n = 9999999999 %}{{ n * [1] }}", "9,999,999,999 parts"),
    "a padded text": ("{{ 'a' | center(9999999999) }}", "9,999,999,999 parts"),
    "a format": ("{{ '%9999999999d' % 5 }}", "width"),
    "a doubled text": (
        "{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
        "parts",
    ),
    "a padded text, by a method": ("{{ 'a'.ljust(9999999999) }}", "9,999,999,999 parts"),
    "a format of another kind": ("{{ '{:>999999999}'.format(1) }}", "width"),
    "a format of names": ("{{ '{a:>999999999}'.format_map({'a': 1}) }}", "width"),
    "a format, by a filter": ("{{ '%9999999999d' | format(5) }}", "width"),
    "a text in many places": ("{% set a = 'a' * 9999999 %}{{ a | replace('a', a) }}", "parts"),
    "sums": (
        "{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
        "parts",
    ),
    "a power": ("{{ 9 ** (9 ** 9) }}", "bits"),
    "squares": ("{% set n = namespace(x=3) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}", "bits"),
    "loops": (loop(loop(loop("{{ 1 }}"))), "0 s"),
    "loops that do nothing": (loop(loop(loop(""))), "0 s"),
    "loops that take nothing": (loop(loop("", " if false")), "0 s"),
    "a macro in itself": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "without end"),
    "a macro twice in itself": (
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(90) }}",
        "0 s",
    ),
    "a long conversation": ("{% for i in range(100) %}{{ 'a' * 999999 }}{% endfor %}", "characters"),
    "brackets": ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "without end"),
    "half a tag": ("{{ ", "refuses"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_template_is_one_sentence(case, tokenizer, monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 0.2)
    template, says = HOSTILE[case]
    own = copy(tokenizer)
    own.chat_template = template
    start = time.process_time()
    with pytest.raises(UsageError, match=says) as error:
        encode(CHAT, own)
    assert "the tokenizer's chat template refuses a conversation of user" in str(error.value)
    assert time.process_time() - start < 3


def test_what_took_too_long_once_is_not_waited_for_again(tokenizer, monkeypatch):
    own = copy(tokenizer)
    own.chat_template = HOSTILE["loops"][0] + "{# of this test #}"
    monkeypatch.setattr(limits, "SECONDS", 0.1)
    with pytest.raises(UsageError):
        encode(CHAT, own)
    monkeypatch.setattr(limits, "SECONDS", 60.0)
    with pytest.raises(UsageError, match="takes more than"):
        encode(CHAT, own)


def test_a_good_template_writes_what_transformers_writes(tokenizer):
    own = copy(tokenizer)
    own.chat_template = (
        "{{ bos_token }}{% for m in messages if m.role != 'system' recursive %}{{ loop.index * 2 }}/{{ loop.length }}"
        "{{ '=' * 3 }}{{ m.content | trim }}{% if not loop.last %}{{ loop.nextitem.content }}{% else %}."
        "{% endif %}{% for k in m | dictsort %}{% if loop.index == 2 %}{% break %}{% endif %}{{ k[0] }}{% endfor %}"
        "{% else %}none{% endfor %}{{ 2 ** 10 }}{{ strftime_now('%Y') }}{{ messages | tojson }}"
    )
    turns = [message.turn for message in CHAT.messages]
    plain = own.apply_chat_template(turns, tokenize=False)
    now = plain.index("1024") + 4
    year = plain[now : now + 4]
    own_ids = prompt_ids(CHAT.messages, own)
    assert own_ids == list(own(plain.replace(f"1024{year}", "10242024"), add_special_tokens=False)["input_ids"])


def test_words_that_look_like_formats_are_no_formats(tokenizer):
    own = copy(tokenizer)
    own.chat_template = (
        "{% for m in messages %}{{ m.content.split('</think>')[-1].replace('%', '%%').strip('*') ~ '!' }}"
        "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    )
    asked = Message("user", "{x: *} 100 % of 123456789012 " * 2000)
    written = own.apply_chat_template([asked.turn], tokenize=False)
    assert limits.write_turns(own, [asked.turn]) == written
