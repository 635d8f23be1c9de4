"""Rows whose words spell control tokens: how many there are, and one of them token by token, read both ways."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from rankwise.data.control import control_tokens
from rankwise.data.examples import Encoded, Example, ExampleSplits
from rankwise.data.load import preview
from rankwise.data.render import encode
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AROUND = 6  # tokens shown before and after those that differ
MOST = 80  # tokens shown in all


def spelled(examples: ExampleSplits, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any] | None:
    """Look for such rows; None when there are none.

    Returns:
        JSON values: ``counts`` per split; ``kept``, whether they are read as control tokens; and of the first one that
        can be read both ways, ``as_control`` and ``as_text``, lists of (token text, whether it is a control token),
        around what differs.
    """
    control = control_tokens(tokenizer)
    splits = {"train": examples.train, "selection": examples.selection, "test": examples.test}
    rows = {name: [example for example in split if control.spelled(example)] for name, split in splits.items()}
    if not any(rows.values()):
        return None
    both: tuple[list[Any], list[Any]] = ([], [])
    for example in chain.from_iterable(rows.values()):
        with suppress(UsageError):  # a row that cannot be text, or written at all
            both = _both_ways(example, tokenizer)
            break
    counts = {name: len(found) for name, found in rows.items()}
    return {"counts": counts, "kept": examples.skip.keep, "as_control": both[0], "as_text": both[1]}


def _both_ways(example: Example, tokenizer: PreTrainedTokenizerBase) -> tuple[list[Any], list[Any]]:
    ids = {*control_tokens(tokenizer).ids.values()}

    def tokens(encoded: Encoded | None) -> list[tuple[str, bool]]:
        if encoded is None:
            return []
        texts = (text for text, _ in preview(encoded, tokenizer))
        return [(text, i in ids) for text, i in zip(texts, encoded.input_ids, strict=True)]

    kept, text = (tokens(encode(example, tokenizer, keep=keep)) for keep in (True, False))
    start = max(0, _alike(kept, text) - AROUND)
    end = max(0, _alike(kept[::-1], text[::-1]) - AROUND)
    return kept[start : len(kept) - end][:MOST], text[start : len(text) - end][:MOST]


def _alike(one: list[Any], other: list[Any]) -> int:
    """How many items at the start are the same."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
