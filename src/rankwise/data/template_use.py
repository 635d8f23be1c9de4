"""What a chat template makes of the other keys of a turn: each is left out once, to see whether the text changes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from rankwise.data.examples import Example, Message
from rankwise.errors import UsageError

Write = Callable[[tuple[Message, ...], str], str]  # a conversation and its tools, as the template writes them
ALWAYS = ("system", "user", "assistant")  # roles that every template knows or refuses
MARK = "x9z"


def note_of_unused(examples: Iterable[Example], write: Write | None, split: str) -> tuple[str, ...]:
    """One note that names every key, role and list of tools that the texts of a split lack; none when all are used.

    Args:
        write: None for a tokenizer without a template, which can use nothing but the words.
    """
    counts = Counter(name for example in examples for name in unused(example, write))
    if not counts:
        return ()
    why = "the tokenizer has no chat template" if write is None else "the chat template makes nothing of them"
    listed = ", ".join(f"{name} ({count:,})" for name, count in sorted(counts.items()))
    return (f"not used in the {split} split, as {why} (examples): {listed}",)


def unused(example: Example, write: Write | None) -> list[str]:
    """Names of what an example holds and its text lacks, such as "tool_calls of assistant turns"."""
    messages, tools = example.messages, example.tools
    keys = sorted({(key, message.role) for message in messages if message.more for key in json.loads(message.more)})
    roles = sorted({message.role for message in messages} - set(ALWAYS))
    trials = {f"{key} of {role} turns": (_without(messages, key, role), tools) for key, role in keys}
    if write is not None:  # without a template every role gets its line
        trials |= {f"the words of {role} turns": (_marked(messages, role), tools) for role in roles}
    if tools:
        trials["tools"] = (messages, "")
    if not trials or write is None:
        return list(trials)
    whole = write(messages, tools)
    return [name for name, trial in trials.items() if _write(write, *trial) == whole]


def _without(messages: tuple[Message, ...], key: str, role: str) -> tuple[Message, ...]:
    def less(message: Message) -> Message:
        rest = {name: value for name, value in json.loads(message.more).items() if name != key}
        return replace(message, more=json.dumps(rest, ensure_ascii=False) if rest else "")

    return tuple(less(message) if message.more and message.role == role else message for message in messages)


def _marked(messages: tuple[Message, ...], role: str) -> tuple[Message, ...]:
    return tuple(replace(m, content=m.content + MARK) if m.role == role else m for m in messages)


def _write(write: Write, messages: tuple[Message, ...], tools: str) -> str | None:
    try:
        return write(messages, tools)
    except UsageError:  # the template cannot do without it
        return None
