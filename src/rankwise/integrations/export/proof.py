"""The check before an export is called done: logits of what was written beside those of the live adapter."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rankwise.adapters import Handle
from rankwise.errors import UsageError
from rankwise.models import Base

TEXT = (
    "On Monday the library lent 48 books and got 31 back. On Tuesday it lent half as many again, and a reader asked "
    "how many were still on the shelves. The librarian counted twice, wrote the answer on a card, and explained each "
    "step: first add what was lent, then subtract what came home. Trời hôm nay đẹp; chúng ta đi bộ ra bờ sông."
)
LENGTH = 96


@dataclass(frozen=True)
class Proof:
    """Largest differences between logits on one text.

    Attributes:
        tokens: of the text.
        dtype: in which both sides were computed.
        largest: largest logit (absolute) of the live adapter.
        difference: written against live.
        effect: bare base against live: what the adapter does at all.
        low, low_base: difference with base and adapter in bfloat16, and of the bare base in bfloat16; None if not
            measured.
    """

    tokens: int
    dtype: str
    largest: float
    difference: float
    effect: float
    low: float | None = None
    low_base: float | None = None

    @property
    def share(self) -> float:
        """Difference over the largest logit."""
        return self.difference / self.largest

    def sentence(self) -> str:
        """Return the numbers as text."""
        text = (
            f"logits checked on {self.tokens} tokens: largest difference {self.share:.1e} of the largest logit in "
            f"{self.dtype} (the adapter itself moves them by {self.effect / self.largest:.1e})"
        )
        if self.low is not None and self.low_base is not None:
            text += (
                f"; in bfloat16 {self.low / self.largest:.1e}, where the bare base alone is off by "
                f"{self.low_base / self.largest:.1e}"
            )
        return text


def text_ids(base: Base, length: int = LENGTH) -> Tensor:
    """Return the text's first tokens, (1, length)."""
    room = base.room or length
    ids = base.tokenizer(TEXT, add_special_tokens=False)["input_ids"][: min(length, room)]
    return torch.tensor([ids], device=next(base.model.parameters()).device)


def logits(model: Any, ids: Tensor) -> Tensor:
    """Return the model's logits, (1, tokens, vocabulary)."""
    found: Tensor = model(input_ids=ids, use_cache=False).logits
    return found


def bare_logits(model: Any, ids: Tensor, name: str) -> Tensor:
    """Return the logits of a base without an adapter; ``name`` is where it comes from.

    Raises:
        UsageError: they are not finite, so that no adapter is to blame.
    """
    found = logits(model, ids)
    if not found.isfinite().all():
        raise UsageError(
            f"{name}: the model's own logits are NaN or infinite, without any adapter: its config.json does not fit "
            "its weights, or they are damaged; copy the model again."
        )
    return found


def live_logits(model: Any, ids: Tensor) -> Tensor:
    """Return the logits of a model with its adapter on.

    Raises:
        UsageError: they are not finite, so that nothing can be held against them.
    """
    found = logits(model, ids)
    if not found.isfinite().all():
        raise UsageError(
            "with this adapter on it the model's logits are NaN or infinite, so no copy of it can be checked; its "
            "factors or its scale are too large: train it again with a lower learning rate, or from an earlier step."
        )
    return found


def prove(base: Base, handle: Handle, written: Callable[[nn.Module, Tensor], Tensor], *, low: bool) -> Proof:
    """Compare ``written(model, ids)``, logits by an independent reader, with the live adapter.

    Args:
        low: also in bfloat16, on a copy of the base.
    """
    ids = text_ids(base)
    with torch.no_grad():
        with handle.disable():
            bare = bare_logits(base.model, ids, base.name)
        live = live_logits(base.model, ids)
        with handle.disable():
            found = written(base.model, ids)
            in_low: tuple[float | None, float | None] = (None, None)
            if low:
                # The config is shared: copying it is slow and nothing writes it.
                memo = {id(base.model.config): base.model.config}
                narrow = copy.deepcopy(base.model, memo).to(torch.bfloat16)
                in_low = (_gap(written(narrow, ids), live), _gap(logits(narrow, ids), bare))
    dtype = str(live.dtype).removeprefix("torch.")
    largest = float(live.abs().max()) or 1.0
    return Proof(int(ids.shape[1]), dtype, largest, _gap(found, live), _gap(bare, live), *in_low)


def prove_in_double(base: Base, handle: Handle, written: Callable[[nn.Module, Tensor], Tensor], first: Proof) -> Proof:
    """Repeat a float32 proof with everything widened to float64: what remains is not rounding.

    The numbers in bfloat16 are those of ``first``.
    """
    with _widened(base.model):
        proof = prove(base, handle, written, low=False)
    return replace(proof, low=first.low, low_base=first.low_base)


@contextlib.contextmanager
def _widened(model: nn.Module) -> Iterator[None]:
    """Hold a float32 model in float64 for a moment; the way back gives every bit again."""
    model.double()
    try:
        yield
    finally:
        model.float()


def _gap(one: Tensor, two: Tensor) -> float:
    return float((one.double() - two.double()).abs().max())
