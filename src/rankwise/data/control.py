"""Control tokens: only what a chat template writes becomes one; the same letters in a row's own words stay text.

A prompt that spells ``<|im_end|>`` must not end its turn, and a reply that spells it must not teach a model to stop in
the middle. A control token is one that the tokenizer marks as special (or lists in ``chat_control_tokens``), and an
unmarked one that its chat template writes, such as DeepSeek's ``<｜User｜>``. Words may hold ``<think>`` and every pair
of unmarked tags ``<x>`` and ``</x>`` (``<tool_call>``): a reply is trained to use them.

How: while the template writes, letters of control tokens in the words are exchanged for stand-ins, one character for
one, so that every position stays. What then still reads as a control token is the template's. See :mod:`.twin` for how
the text becomes ids. transformers' ``sanitize_control_tokens`` gives no positions, so targets could not be found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from jinja2 import TemplateError

from rankwise.data.examples import Example, Message
from rankwise.data.template_limits import write_turns
from rankwise.data.twin import Twin
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WORDS = ("<think>", "</think>")  # marked as special or not: reasoning is written out in the words of many data sets
BYTE = re.compile("<0x[0-9A-F]{2}>")  # what a vocabulary of sentencepiece's kind writes unknown characters in
STAND_INS = 0x100000  # private-use characters of Unicode's last plane, which no text has by accident
TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


class ControlTokens:
    """The control tokens of one tokenizer; get it by :func:`control_tokens`.

    Attributes:
        ids: the id of each control token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.ids = _control(tokenizer)
        names = sorted(self.ids, key=len, reverse=True)  # the longest first, as tokenizers match them
        self._pattern = re.compile("|".join(map(re.escape, names)) or "(?!)")
        self._heads = {name[:n] for name in names for n in range(1, len(name))}
        self._tails = {name[n:] for name in names for n in range(1, len(name))}
        letters = sorted({letter for name in names for letter in name if not letter.isspace()})
        self._away = {ord(letter): chr(STAND_INS + n) for n, letter in enumerate(letters)}
        self._back = {ord(stand_in): chr(letter) for letter, stand_in in self._away.items()}
        self._tokenizer_json: Callable[[], str] = lambda: str(tokenizer.backend_tokenizer.to_str())

    @cached_property
    def twin(self) -> Twin:
        """The tokenizer once more, its control tokens spelled in stand-ins."""
        return Twin(self._tokenizer_json(), {name: self.disguised(name) for name in self.ids}, self.ids)

    def spelled(self, example: Example) -> tuple[str, ...]:
        """The control tokens that the words of an example spell, each once, in order."""
        return tuple(dict.fromkeys(name for text in texts_of(example) for name in self._pattern.findall(text)))

    def shield(self, example: Example) -> Example:
        """Exchange control tokens in the words, and what is part of one at either end; the same object without any.

        Raises:
            UsageError: there are some, and stand-ins too, which then could not be told from ours.
        """
        if not any(self._shielded(text) != text for text in texts_of(example)):
            return example
        if any(ord(letter) in self._back for text in texts_of(example) for letter in text):
            raise UsageError(
                "the words spell control tokens and hold private-use characters (U+100000 and after), which rankwise "
                "needs to tell these from the template's own; remove one of them"
            )
        return _mapped(example, self._shielded)

    def _shielded(self, text: str) -> str:
        text = self._pattern.sub(lambda found: self.disguised(found[0]), text)
        end = len(text.rstrip())
        start = len(text) - len(text.lstrip())
        longest = min(max(map(len, self.ids), default=0), end - start)
        tail = next((n for n in range(longest, 0, -1) if text[start : start + n] in self._tails), 0)
        text = text[:start] + self.disguised(text[start : start + tail]) + text[start + tail :]
        head = next((n for n in range(longest, 0, -1) if text[end - n : end] in self._heads), 0)
        return text[: end - head] + self.disguised(text[end - head : end]) + text[end:]

    def disguised(self, text: str) -> str:
        """``text`` in stand-ins."""
        return text.translate(self._away)

    def natural(self, text: str) -> str:
        """``text`` with every stand-in back as the letter it stands for."""
        return text.translate(self._back)

    def count(self, text: str) -> int:
        """How many control tokens a text spells."""
        return len(self._pattern.findall(text))


_KNOWN: WeakKeyDictionary[Any, tuple[object, ControlTokens]] = WeakKeyDictionary()


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> ControlTokens:
    """The control tokens of a tokenizer, found once for every chat template and list of special tokens it has."""
    state = (tokenizer.chat_template, tuple(tokenizer.all_special_tokens))
    known = _KNOWN.get(tokenizer)
    if known is None or known[0] != state:
        known = _KNOWN[tokenizer] = (state, ControlTokens(tokenizer))
    return known[1]


def note_of_spelled(
    examples: Iterable[Example], tokenizer: PreTrainedTokenizerBase, split: str, keep: bool
) -> tuple[str, ...]:
    """A note on how many examples spell control tokens in their words, and which; none where none does."""
    control = control_tokens(tokenizer)
    found = [spelled for example in examples if (spelled := control.spelled(example))]
    if not found:
        return ()
    names = sorted({name for spelled in found for name in spelled})
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    how = "kept as control tokens" if keep else "read as text (--data keep-control-tokens:NAME keeps them)"
    return (f"{len(found):,} {split} examples spell control tokens ({listed}), {how}",)


def _control(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    added = {str(token): (i, bool(token.special)) for i, token in tokenizer.added_tokens_decoder.items()}
    stated = getattr(tokenizer, "chat_control_tokens", None)
    written = _written(tokenizer) if stated is None else ""

    def is_control(name: str, special: bool) -> bool:
        if name in WORDS or len(name.strip()) < 2 or BYTE.fullmatch(name):
            return False  # "!" and a line break are tokens in any text too
        tag = re.fullmatch(r"</?([^<>/|]+)>", name)
        pair = tag is not None and f"<{tag[1]}>" in added and f"</{tag[1]}>" in added
        return special or (name in stated if stated is not None else name in written and not pair)

    return {name: i for name, (i, special) in added.items() if is_control(name, special)}


def _written(tokenizer: PreTrainedTokenizerBase) -> str:
    """The chat template, and what it writes of a conversation: it may build its marks from a role's name."""
    parts = [str(tokenizer.chat_template or "")]
    for turns in (TURNS, [{"role": "system", "content": "s"}, *TURNS]) if tokenizer.chat_template else ():
        with suppress(TemplateError):  # it may refuse a role; writing the rows tells of it
            parts.append(write_turns(tokenizer, turns, add_generation_prompt=True))
    return "\0".join(parts)


def texts_of(example: Example) -> list[str]:
    """Return every text of an example that is not the template's, the names of keys included."""
    found: list[str] = []

    def seen(text: str) -> str:
        found.append(text)
        return text

    _mapped(example, seen)
    return found


def _mapped(example: Example, change: Callable[[str], str]) -> Example:
    def turn(message: Message) -> Message:
        return replace(message, content=change(message.content), more=_in_json(message.more, change))

    return replace(example, messages=tuple(map(turn, example.messages)), tools=_in_json(example.tools, change))


def _in_json(text: str, change: Callable[[str], str]) -> str:
    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {change(key): changed(part) for key, part in value.items()}
        if isinstance(value, list):
            return [changed(part) for part in value]
        return change(value) if isinstance(value, str) else value

    return json.dumps(changed(json.loads(text)), ensure_ascii=False) if text else ""
