"""Two questions to a base before anything is made of it: does it read left to right, and how many positions has it?

Both are asked of the model itself, by tiny passes. Bits alone cannot tell: in a mixture of experts an earlier logit
may move with a later token, because products round by the rows beside them. The gradient of that logit by that
token's embedding is then exactly zero; where attention looks ahead it is not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rankwise.errors import UsageError
from rankwise.models.folder import reason_of

TOKENS = 23  # of a pass; a size that nothing in a model has by chance
READ = 15  # the first of them, which must not depend on the rest


def look(model: Any, name: str) -> int | None:
    """Return how many tokens the model's table of positions has room for; None when it computes positions.

    Raises:
        UsageError: ``model`` does not run on token ids alone, or what it says at a token depends on later ones.
    """
    try:
        causal, positions = is_causal(model), table_of_positions(model)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        raise UsageError(
            f"{name} ({type(model).__name__}) does not run on token ids alone ({reason_of(error)}); give a causal "
            "language model"
        ) from error
    if not causal:
        own = getattr(model.config, "is_decoder", None)
        cure = ', or set "is_decoder": true in its config.json to have it read left to right' if own is False else ""
        raise UsageError(
            f"{name} ({type(model).__name__}) is not causal: its logits depend on tokens that come later, so it would "
            f"be trained and scored on text that it has already seen; give a causal language model{cure}"
        )
    return positions


def is_causal(model: Any) -> bool:
    """Return whether the first tokens' logits depend on no later token."""
    ids = _ids(model)
    changed = ids.clone()
    changed[0, READ:] = (changed[0, READ:] + 1) % int(ids.max() + 1)
    with torch.no_grad():
        if torch.equal(_logits(model, ids), _logits(model, changed)):
            return True
    return not _looks_ahead(model, ids)


def _looks_ahead(model: Any, ids: Tensor) -> bool:
    """Return whether the first tokens' logits have a gradient by the embeddings of the rest."""
    leaves: list[Tensor] = []

    def as_leaf(_: Any, __: Any, embedded: Tensor) -> Tensor:
        leaves.append(embedded.detach().requires_grad_())
        return leaves[-1].clone()  # some models write into what they embedded

    hook = model.get_input_embeddings().register_forward_hook(as_leaf)
    try:
        with torch.enable_grad():
            loss = _logits(model, ids).float().square().sum()
        if not leaves or not loss.requires_grad:
            return False  # nothing that trains could tell
        found = torch.autograd.grad(loss, leaves, allow_unused=True)
    finally:
        hook.remove()
    return any(bool((gradient[0, READ:].abs() > 0).any()) for gradient in found if gradient is not None)


def table_of_positions(model: Any) -> int | None:
    """Return the rows of the smallest table that a pass reads one after another, one a token, from where it begins."""
    tables = _Tables()
    with torch.no_grad(), tables:
        model(input_ids=_ids(model), use_cache=False)
    return min(tables.room, default=None)


class _Tables(TorchDispatchMode):
    """Notes how far every such table reaches: of GPT-2 all rows, of OPT and RoBERTa those after the first two.

    ``index_select`` is left out: the sinusoids that are read so grow with the text.
    """

    def __init__(self) -> None:
        super().__init__()
        self.room: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operation = func.overloadpacket
        if operation is torch.ops.aten.embedding:
            self._see(len(args[0]), args[1])
        elif operation is torch.ops.aten.gather:
            self._see(args[0].shape[args[1]], args[2])
        elif operation is torch.ops.aten.index:
            for size, rows in zip(args[0].shape, args[1], strict=False):
                if rows is not None and rows.dtype == torch.long:
                    self._see(size, rows)
        return func(*args, **(kwargs or {}))

    def _see(self, size: int, rows: Tensor) -> None:
        """Note a table larger than the pass, of which each token reads the row after that of the token before."""
        read, times = rows.unique(return_counts=True)
        first, one_each = int(read[0]), len(read) == TOKENS and bool((times == times[0]).all())
        if one_each and size > TOKENS and int(read[-1]) == first + TOKENS - 1:
            self.room.append(size - first)


def _ids(model: Any) -> Tensor:
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    stream = torch.Generator().manual_seed(0)
    return torch.randint(vocabulary, (1, TOKENS), generator=stream).to(next(model.parameters()).device)


def _logits(model: Any, ids: Tensor) -> Tensor:
    """Logits of the first tokens, (READ, vocabulary)."""
    logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits[0, :READ]
