"""From an example to token ids and a mask of the tokens to learn.

The whole text is tokenized once, and targets are found by character positions, so the ids are exactly those of
the text a model will meet. A target span is an assistant's words and the end-of-turn token after them (else the
model never learns to stop); what a template prints after that token (a newline) is no target. Nothing is ever
masked by pad id: many models pad with their end-of-turn token.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import jinja2

from rankwise.data.bad_rows import STRICT, Skipping, settle
from rankwise.data.clock import MOMENT, OTHER, standing
from rankwise.data.control import note_of_spelled
from rankwise.data.examples import Encoded, Example, Message
from rankwise.data.template_limits import write_turns
from rankwise.data.template_use import note_of_unused
from rankwise.data.tokenizing import Rendered, tokenized
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN = "x9z"  # a word that no template writes
# What a template raises, for a role that it refuses and for a key of another shape than it expects.
BROKEN = (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError)


def render(example: Example, tokenizer: PreTrainedTokenizerBase) -> Rendered:
    """Write an example out. Raises UsageError for a template that cannot be masked exactly."""
    if example.chat and tokenizer.chat_template:
        return _render_chat(example, tokenizer)
    return _render_plain(example, tokenizer)


def _render_plain(example: Example, tokenizer: PreTrainedTokenizerBase) -> Rendered:
    """Prompt, completion, end-of-sequence token. Turns of a conversation without a template get a line each."""
    if tokenizer.eos_token is None:
        raise UsageError("the tokenizer has no end-of-sequence token, so a model could not learn to stop; set one")
    text = ""
    spans: list[tuple[int, int]] = []
    for message in example.messages:
        start = len(text)
        text += message.content
        if message.role == "assistant":
            text += tokenizer.eos_token
            if message.learn and message.content.strip():
                spans.append((start, len(text)))
        elif example.chat:
            text += "\n"
    return Rendered(text, tuple(spans), templated=False)


def _render_chat(example: Example, tokenizer: PreTrainedTokenizerBase) -> Rendered:
    """Render up to before and after each assistant turn; every such text must begin the whole text."""
    messages, tools = example.messages, example.tools
    text = _apply(messages, tokenizer, tools=tools)
    spans: list[tuple[int, int]] = []
    for n, message in enumerate(messages):
        if message.role != "assistant" or not _learned(message):
            continue
        before = _apply(messages[:n], tokenizer, generate=True, tools=tools)
        after = text if n + 1 == len(messages) else _apply(messages[: n + 1], tokenizer, tools=tools)
        if not (text.startswith(after) and after.startswith(before)):
            raise UsageError(
                f"the chat template rewrites earlier turns (message {n + 1} of {len(messages)}), so the tokens to "
                "learn cannot be told apart; use single-turn data, or set a template without that"
            )
        words_end = _end_of(message.content, text, len(before), len(after)) if message.content.strip() else len(before)
        if message.more and _apply((*messages[:n], replace(message, more="")), tokenizer, tools=tools) != after:
            plain = _apply((*messages[:n], Message("assistant", PLAIN)), tokenizer, tools=tools)
            words_end = max(words_end, _end_of_more(after, plain, tokenizer))
        elif not message.content.strip():
            continue  # calls that the template does not write: nothing is said
        ends = [
            text.find(token, words_end, len(after)) + len(token) for token in _stop_tokens(tokenizer, after, words_end)
        ]
        if not ends:
            raise UsageError(
                "the chat template puts no special token after an assistant turn, so a model could not learn to "
                "stop; set a template that ends the turn with one, such as the end-of-sequence token"
            )
        spans.append((len(before), min(ends)))
    return Rendered(text, tuple(spans), templated=True)


def _learned(message: Message) -> bool:
    return message.learn and bool(message.content.strip() or message.more)


def _end_of_more(text: str, plain: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """Where ``text``, a conversation, ends but for its last end-of-turn token, whatever its last turn calls.

    That token is the one after the words of the same turn when it is ``plain``; where the template ends a turn with
    calls otherwise, it is the last special token.
    """
    start = plain.rfind(PLAIN) + len(PLAIN)
    stops = sorted((plain.find(token, start), token) for token in _stop_tokens(tokenizer, plain, start))
    place = text.rfind(stops[0][1]) if stops else -1
    return place if place >= 0 else max((text.rfind(token) for token in _stop_tokens(tokenizer, text, 0)), default=0)


def _apply(
    messages: tuple[Message, ...],
    tokenizer: PreTrainedTokenizerBase,
    *,
    generate: bool = False,
    tools: str = "",
    moment: datetime = MOMENT,
) -> str:
    turns = [message.turn for message in messages]
    given = {"tools": json.loads(tools)} if tools else {}
    try:
        with standing(moment) as today:
            return write_turns(tokenizer, turns, add_generation_prompt=generate, date_string=today, **given)
    except BROKEN as error:
        roles = ", ".join(message.role for message in messages) or "no turns"
        raise UsageError(f"the tokenizer's chat template refuses a conversation of {roles}: {error}") from error


def date_note(examples: Iterable[Example], tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Return a sentence when the chat template prints the time in some example; one of each order of roles is tried."""
    tried: set[tuple[str, ...]] = set()
    for example in examples if tokenizer.chat_template else ():
        roles = tuple(message.role for message in example.messages)
        if not example.chat or roles in tried:
            continue
        try:
            now, then = (_apply(example.messages, tokenizer, moment=moment) for moment in (MOMENT, OTHER))
        except UsageError:  # told, or left out, where it is encoded
            continue
        tried.add(roles)
        if now != then:
            return (
                f"the chat template prints the time: it is {MOMENT:%Y-%m-%d %H:%M} in every example and prompt here, "
                "so that the ids stay as they are; other programs print today's",
            )
    return ()


def _end_of(content: str, text: str, start: int, end: int) -> int:
    """Where ``content`` ends inside ``text[start:end]``, white space aside (templates trim and pad it).

    Raises UsageError when the template changed the words, as those that delete the thinking do.
    """
    places = [place for place in range(start, end) if not text[place].isspace()]
    squeezed = "".join(text[place] for place in places)
    wanted = "".join(content.split())
    found = squeezed.find(wanted)
    if found < 0:
        raise UsageError(
            f"the chat template changes or drops the assistant's words ({content[:60]!r}...); "
            "a template that removes <think> text needs completion style 'hashes'"
        )
    return places[found + len(wanted) - 1] + 1


def _stop_tokens(tokenizer: PreTrainedTokenizerBase, text: str, start: int) -> list[str]:
    """Special tokens that occur in ``text`` from ``start`` on."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return [token for token in added.union(tokenizer.all_special_tokens) if token in text[start:]]


def encode(example: Example, tokenizer: PreTrainedTokenizerBase, *, keep: bool = False) -> Encoded | None:
    """Tokenize at full length, cut after the last target. None when nothing is to be learned.

    Args:
        keep: let the words hold control tokens; else what spells one is text (see :mod:`rankwise.data.control`).
    """
    if not tokenizer.is_fast:
        raise UsageError("this tokenizer cannot report character positions; use a fast one (tokenizer.json)")
    (_, spans, _), (ids, offsets) = tokenized(example, tokenizer, lambda written: render(written, tokenizer), keep)
    if ids[:1] == ids[1:2] == [tokenizer.bos_token_id] and offsets[0] == (0, 0):
        del ids[0], offsets[0]  # the text itself began with BOS
    mask = [False] * len(ids)
    for start, end in spans:
        # A token added by the tokenizer has offsets (0, 0) and never reaches past a start.
        inside = [n for n, (left, right) in enumerate(offsets) if right > start and left < end]
        mask[inside[0] : inside[-1] + 1] = [True] * (inside[-1] + 1 - inside[0])
    if mask:
        mask[0] = False
    return shorten(tuple(ids), tuple(mask), len(ids))


def prompt_ids(
    messages: tuple[Message, ...], tokenizer: PreTrainedTokenizerBase, *, chat: bool = True, keep: bool = False
) -> list[int]:
    """Return the token ids of ``messages`` up to where the assistant's next words begin.

    Written as :func:`render` writes an example: by the chat template where there is one, else as plain lines.
    ``keep`` as in :func:`encode`.
    """
    if chat and tokenizer.chat_template:

        def write(example: Example) -> Rendered:
            return Rendered(_apply(example.messages, tokenizer, generate=True), (), templated=True)

        return tokenized(Example(messages), tokenizer, write, keep)[1].ids
    stop = tokenizer.eos_token or ""

    def join(example: Example) -> Rendered:
        parts = [m.content + (stop if m.role == "assistant" else "\n" if chat else "") for m in example.messages]
        return Rendered("".join(parts), (), templated=False)

    ids = tokenized(Example(messages, chat=chat), tokenizer, join, keep)[1].ids
    if messages[-1].role != "assistant" and ids[-1:] == [tokenizer.eos_token_id]:
        ids.pop()  # a tokenizer that closes every sequence would leave nothing to continue
    return ids[1:] if ids[:1] == ids[1:2] == [tokenizer.bos_token_id] else ids


def shorten(ids: tuple[int, ...], mask: tuple[bool, ...], length: int) -> Encoded | None:
    """Keep the first ``length`` tokens, then drop all after the last target. None when no target is left."""
    last = max((n for n, target in enumerate(mask[:length]) if target), default=None)
    return None if last is None else Encoded(ids[: last + 1], mask[: last + 1])


def encode_all(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, *, split: str, skip: Skipping = STRICT
) -> tuple[list[Encoded | None], tuple[str, ...]]:
    """Encode examples at full length, None where nothing is to be learned, and say what could not be used.

    Raises UsageError for examples that the template cannot write; they are left out, and counted, where ``skip`` is on.
    """
    whole: list[Encoded | None] = []
    written: list[Example] = []
    faults: list[UsageError] = []
    for example in examples:
        try:
            whole.append(encode(example, tokenizer, keep=skip.keep))
            written.append(example)
        except UsageError as error:
            faults.append(error)
    notes = settle(faults, len(examples), f"{split} examples", skip)

    def write(messages: tuple[Message, ...], tools: str) -> str:
        return _apply(messages, tokenizer, tools=tools)

    return whole, (*notes, *note_of_unused(written, write if tokenizer.chat_template else None, split))


def encode_split(
    examples: tuple[Example, ...],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    split: str,
    skip: Skipping = STRICT,
) -> tuple[tuple[Encoded, ...], tuple[str, ...]]:
    """Encode a split, and say what was cut, dropped or not used. ``skip`` as in :func:`encode_all`.

    Raises UsageError when no target is left in all of it.
    """
    kept: list[Encoded] = []
    cut = dropped = 0
    whole, said = encode_all(examples, tokenizer, split=split, skip=skip)
    said = (*said, *note_of_spelled(examples, tokenizer, split, skip.keep))
    for full in whole:
        short = full and shorten(full.input_ids, full.target_mask, max_length)
        if short is None:
            dropped += 1
            continue
        cut += short != full
        kept.append(short)
    if not kept:
        first = [full.target_mask.index(True) + 1 for full in whole if full is not None]
        why = (
            f"the shortest prompt reaches its first one at {min(first):,}; raise max_length or shorten the prompts"
            if first
            else "no assistant turn has words in it; look at the replies"
        )
        raise UsageError(
            f"all labels are masked in the {split} split: no example has a token to learn within {max_length} "
            f"tokens; {why}"
        )
    notes = []
    if cut:
        notes.append(f"{cut} {split} examples cut at {max_length} tokens")
    if dropped:
        notes.append(f"{dropped} {split} examples dropped: no token to learn within {max_length} tokens")
    return tuple(kept), (*notes, *said)
