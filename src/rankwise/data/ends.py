"""The tokens that end a reply: the ones it is trained to end with are the ones that decoding stops at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rankwise.data.examples import Encoded, Example, Message
from rankwise.data.render import encode
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TURNS = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d"))
_FORMS = (Example(_TURNS[:2], chat=False), Example(_TURNS[:2]), Example(_TURNS))


def end_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the ids that :func:`rankwise.data.render.encode` teaches at the end of a reply, ascending.

    The end-of-sequence token, and what the chat template puts after an assistant's words where that is another one.
    Found by encoding small examples of every form; a form that this tokenizer cannot write has none.
    """
    found = {tokenizer.eos_token_id} - {None}
    for example in _FORMS:
        try:
            encoded = encode(example, tokenizer)
        except UsageError:
            continue
        found |= _ends(encoded) if encoded else set()
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return tuple(sorted(int(i) for i in found & special))


def _ends(encoded: Encoded) -> set[int]:
    """Return the last target of every reply."""
    after = (*encoded.target_mask[1:], False)
    return {i for i, target, more in zip(encoded.input_ids, encoded.target_mask, after, strict=True) if target > more}
