"""From a written text to token ids, in which only the template's own control tokens are control tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from rankwise.data.control import ControlTokens, control_tokens, texts_of
from rankwise.data.examples import Example
from rankwise.data.twin import Tokens, control_places
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Rendered(NamedTuple):
    """Text, the character spans ``[start, end)`` to learn, and whether a chat template wrote it."""

    text: str
    spans: tuple[tuple[int, int], ...]
    templated: bool


def tokenized(
    example: Example, tokenizer: PreTrainedTokenizerBase, write: Callable[[Example], Rendered], keep: bool
) -> tuple[Rendered, Tokens]:
    """Write an example and tokenize it. ``keep`` lets its words hold control tokens.

    What spells none is tokenized by the tokenizer itself, in one piece.

    Raises:
        UsageError: as ``write`` does; or words spell control tokens, and the template then writes something else or
            the tokenizer cannot write them as text.
    """
    if keep:
        rendered = write(example)
        return rendered, _plain(rendered, tokenizer)
    control = control_tokens(tokenizer)
    shielded = control.shield(example)
    rendered = write(shielded)
    if shielded is not example:
        natural = write(example)
        spelled = control.spelled(example)
        if spelled and control.natural(rendered.text) != natural.text:
            raise UsageError(
                f"the chat template writes something else where words spell control tokens ({', '.join(spelled)}), so "
                "they cannot be told from its own; remove them from the words"
            )
        if spelled or _joined(control, rendered.text, natural.text):
            return natural, _guarded(example, rendered, natural.text, tokenizer, control)
        rendered = natural
    tokens = _plain(rendered, tokenizer)
    if _odd(example, rendered.text, tokens, tokenizer, control)[0]:
        return rendered, _guarded(example, rendered, rendered.text, tokenizer, control)
    return rendered, tokens


def _plain(rendered: Rendered, tokenizer: PreTrainedTokenizerBase) -> Tokens:
    # A template writes its own BOS; plain text gets whatever the tokenizer puts around a sequence.
    special = not rendered.templated
    if not tokenizer.is_fast:
        ids = list(tokenizer(rendered.text, add_special_tokens=special)["input_ids"])
        return Tokens(ids, [(0, 0)] * len(ids))
    coded = tokenizer(rendered.text, add_special_tokens=special, return_offsets_mapping=True, verbose=False)
    return Tokens(list(coded["input_ids"]), list(coded["offset_mapping"]))


def _guarded(
    example: Example, rendered: Rendered, natural: str, tokenizer: PreTrainedTokenizerBase, control: ControlTokens
) -> Tokens:
    """Tokenize ``natural`` with control tokens only where ``rendered``, perhaps with stand-ins in it, spells some."""
    if not tokenizer.is_fast:
        raise UsageError("words spell control tokens, which this slow tokenizer cannot write as text; remove them")
    tokens = _plain(rendered, tokenizer)
    if other := _odd(example, rendered.text, tokens, tokenizer, control)[1]:
        raise UsageError(
            f"words spell control tokens, and the template's own are spelled in another way ({', '.join(other)}), so "
            "they cannot be told apart; remove them from the words"
        )
    places = control_places(tokens, rendered.text, control.ids)
    return control.twin.encode(natural, places, special=not rendered.templated)


def _joined(control: ControlTokens, shielded: str, natural: str) -> bool:
    """Whether the ends of words make control tokens with what the template puts beside them."""
    return control.natural(shielded) == natural and control.count(shielded) != control.count(natural)


def _odd(
    example: Example, text: str, tokens: Tokens, tokenizer: PreTrainedTokenizerBase, control: ControlTokens
) -> tuple[list[str], list[str]]:
    """What a tokenizer that normalizes first reads as a control token though spelled otherwise (``<|IM_END|>``).

    Of the words, and of the template.
    """
    names = {i: name for name, i in control.ids.items() if i != tokenizer.unk_token_id}
    found = {
        spelled
        for i, (start, end) in zip(*tokens, strict=True)
        if i in names and (spelled := text[start:end].strip()) not in ("", names[i])
    }
    words = texts_of(example) if found else []
    own = {spelled for spelled in found if any(spelled in text for text in words)}
    return sorted(own), sorted(found - own)
