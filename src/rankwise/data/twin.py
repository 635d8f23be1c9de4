"""A copy of a tokenizer whose control tokens are spelled in stand-ins, so that the same letters in a text are text.

Nothing else differs: normalizer, pre-tokenizer, vocabulary and ids are the tokenizer's own, so a text without control
tokens has the same ids in both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from rankwise.errors import UsageError


class Tokens(NamedTuple):
    """Token ids, and for each the characters ``[start, end)`` it stands for; ``(0, 0)`` for one put around a text."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class Twin:
    """The copy.

    Args:
        source: the tokenizer, as its ``tokenizer.json``.
        disguised: how each control token is spelled in the copy, as many characters as it has.
        control: the id of each control token.
    """

    def __init__(self, source: str, disguised: Mapping[str, str], control: Mapping[str, int]) -> None:
        from tokenizers import Tokenizer

        parts = json.loads(source)
        added = parts["added_tokens"]
        own = [token["id"] for token in added]
        for token in added:
            token["content"] = disguised.get(token["content"], token["content"])
        parts["model"] = _renamed(parts["model"], disguised)
        try:
            self._tokenizer = Tokenizer.from_str(json.dumps(parts))
        except Exception as error:  # what the library raises for a file it cannot read has no class of its own
            raise UsageError(
                f"this tokenizer cannot write control tokens as text ({error}); remove them from the rows, or keep "
                "them as control tokens with keep-control-tokens: before the name of the data"
            ) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # A token that the vocabulary lacks gets its id when it is added, which may be another one here.
        self._ids = {self._tokenizer.token_to_id(token["content"]): i for token, i in zip(added, own, strict=True)}
        self._disguised = disguised
        self._control = {disguised[name]: i for name, i in control.items()}
        self._unknown = self._id_of_unknown(parts["model"])

    def encode(self, text: str, places: list[tuple[int, int]], *, special: bool) -> Tokens:
        """Tokenize ``text`` with control tokens at ``places`` only.

        Args:
            special: put around it what the tokenizer puts around a text.

        Raises:
            UsageError: the tokenizer makes a control token of other words all the same, or none at one of the places.
        """
        for start, end in places:
            text = text[:start] + self._disguised[text[start:end]] + text[end:]
        coded = self._tokenizer.encode(text, add_special_tokens=special)
        tokens = Tokens([self._ids.get(i, i) for i in coded.ids], list(coded.offsets))
        if not self._only_at(places, tokens, text):
            raise UsageError(
                "this tokenizer makes control tokens of the letters that spell them, whatever stands around; remove "
                "them from the rows, or keep them with keep-control-tokens: before the name of the data"
            )
        return tokens

    def _only_at(self, places: list[tuple[int, int]], tokens: Tokens, text: str) -> bool:
        """Whether the control tokens are those at ``places`` (the one for unknown characters may be anywhere)."""
        ids = {*self._control.values()} - {self._unknown}
        made = [i for i, (start, end) in zip(*tokens, strict=True) if i in ids and end > start]
        meant = [self._control[text[start:end]] for start, end in places]
        return control_places(tokens, text, self._control) == places and made == [i for i in meant if i in ids]

    def _id_of_unknown(self, model: Mapping[str, Any]) -> int | None:
        name = model.get("unk_token")
        found = self._tokenizer.token_to_id(name) if name else model.get("unk_id")
        return self._ids.get(found, found)


def control_places(tokens: Tokens, text: str, control: Mapping[str, int]) -> list[tuple[int, int]]:
    """Where ``tokens`` of ``text`` are control tokens and the text there spells them, white space around aside.

    (Some tokens take the white space beside them along.)
    """
    ids = set(control.values())
    found = []
    for i, (start, end) in zip(*tokens, strict=True):
        name = text[start:end].strip() if i in ids else ""
        if name and control.get(name) == i:
            start = text.index(name, start)
            found.append((start, start + len(name)))
    return found


def _renamed(model: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The model with other names of tokens in its vocabulary: its ids stay, and no text leads to them."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(token, token): i for token, i in vocabulary.items()}
    else:  # of a Unigram model: pieces with their scores, in the order of their ids
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:  # a merge whose result has another name now would lack it
        model["merges"] = [
            pair for pair in model["merges"] if names.keys().isdisjoint({*_pair(pair), "".join(_pair(pair))})
        ]
    return model


def _pair(merge: list[str] | str) -> list[str]:
    """The two sides of a merge; older files write them as one text."""
    return merge.split(" ") if isinstance(merge, str) else merge
