"""Checks data against a base: every token id has a row in its embedding, and no row of data outgrows its positions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from rankwise.data import Splits
from rankwise.errors import UsageError
from rankwise.models.base import Base
from rankwise.models.folder import reason_of


def fitted(base: Base, splits: Splits, *, front: int = 0) -> Splits:
    """Return ``splits`` when ``base`` can read them all, with a note on rows longer than it was made for.

    Args:
        front: virtual tokens that an adapter puts in front of every row.

    Raises:
        UsageError: as :func:`check_rows`.
    """
    rows = [encoded.input_ids for split in (splits.train, splits.selection, splits.test) for encoded in split]
    return replace(splits, notes=(*splits.notes, *check_rows(base, rows, f"data {splits.name}", front=front)))


def check_rows(base: Base, rows: Iterable[Sequence[int]], what: str, *, front: int = 0) -> tuple[str, ...]:
    """Check token ids and lengths of ``rows``, and say which are longer than ``base`` was made for.

    Raises:
        UsageError: an id that the embedding has no row for, or a row longer than the base can read; it begins with
            ``what``.
    """
    rows = list(rows)
    highest = max((max(row, default=0) for row in rows), default=0)
    check_ids(base, highest, what)
    longest = front + max((len(row) for row in rows), default=0)
    inside = f", {front} virtual ones among them" if front else ""
    if base.room is None or longest <= base.room:
        return ()
    reason = f"it has {base.positions:,} positions" if base.positions else _why_not(base.model, longest)
    if reason:
        raise UsageError(
            f"{what} has rows of {longest:,} tokens{inside}, which {base.name} cannot read ({reason}); set max_length "
            f"to {base.room - front} to cut them there, shorten them, or give a model with more positions"
        )
    return (f"rows of up to {longest:,} tokens, more than the {base.room:,} that {base.name} was made for",)


def check_ids(base: Base, highest: int, what: str) -> None:
    """Raise unless the embedding has a row for the token id ``highest``."""
    size = rows_of(base.model)
    if highest >= size:
        token = base.tokenizer.convert_ids_to_tokens(highest)
        raise UsageError(
            f"{what} has the token id {highest:,} ({token!r}), but {base.name} has an embedding of {size:,} tokens: "
            "the tokenizer beside it is another model's, or has tokens that were added later; put its own tokenizer "
            "there, or call model.resize_token_embeddings(len(tokenizer)) and save both again"
        )


def rows_of(model: Any) -> int:
    """Return how many tokens the embedding of ``model`` knows."""
    table = model.get_input_embeddings()
    return int(getattr(table, "num_embeddings", None) or table.weight.shape[0])


def _why_not(model: Any, length: int) -> str:
    """Return why ``model`` does not read ``length`` tokens; empty when it does. It has no table of positions."""
    import torch

    body = getattr(model, "base_model", model)  # without the logits, which may not fit into memory
    try:
        with torch.no_grad():
            body(input_ids=torch.zeros(1, length, dtype=torch.long, device=next(model.parameters()).device))
    except (RuntimeError, ValueError, IndexError) as error:
        return reason_of(error)
    return ""
