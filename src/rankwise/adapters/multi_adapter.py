"""Several adapters on one base: put one in the place of another, or give every example of a batch its own.

Stacking needs nothing here: attached adapters add up, and ``handle.disable()`` takes one out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from rankwise.adapters.handle import Handle
from rankwise.adapters.layers import AdaptedLayer, Routes
from rankwise.adapters.overlay import overlaid
from rankwise.errors import UsageError


def switch(old: Handle, new: Handle) -> None:
    """Put ``new`` in the place of ``old``: into the weights when ``old`` is merged, beside them when it is not.

    ``old`` stays attached, unmerged and disabled. The weights it had changed come back bit for bit before ``new``
    goes in, so any number of switches leaves no trace.

    Raises:
        UsageError: the two are one, on different models, detached, ``new`` is merged, or another adapter was merged
            after ``old``; nothing is changed.
    """
    if old is new:
        raise UsageError(f"switch needs two adapters, found {old.name!r} twice.")
    for handle in (old, new):
        if not handle.layers:
            raise UsageError(f"adapter {handle.name!r} was detached; attach or load it again before switching.")
    if old.model is not new.model:
        raise UsageError(f"adapters {old.name!r} and {new.name!r} are on different models; load one on the other's.")
    if new.merged:
        raise UsageError(f"adapter {new.name!r} is already merged; unmerge it before switching to it.")
    in_weights = old.merged
    if in_weights:
        old.unmerge()
    old.disable()
    new.enable()
    if in_weights:
        new.merge()


@contextlib.contextmanager
def mixed(model: nn.Module, rows: Sequence[Handle | None]) -> Iterator[None]:
    """Give every example of the batches inside the block its own adapter::

        with rw.mixed(model, [french, None, german, french]):
            logits = model(input_ids).logits  # 4 rows; the second is the untouched base

    Each row equals a run of its own: only the adapter named for it acts, enabled or not. With gradient checkpointing,
    call ``backward()`` inside the block too.

    Args:
        rows: for each example an adapter on ``model``, or None for the base alone.

    Raises:
        UsageError: an entry is not an adapter on ``model``, one is merged, or the block is inside another. Later, from
            the model itself: a batch of another size.
    """
    if not rows:
        raise UsageError("mixed() needs one entry per example of the batch, found none.")
    layers = [module for module in model.modules() if isinstance(module, AdaptedLayer)]
    entries: list[object] = list(rows)
    for row, handle in enumerate(entries):
        if handle is None:
            continue
        if not isinstance(handle, Handle):
            raise UsageError(f"row {row} of mixed() must be a handle or None, found {handle!r}.")
        if not handle.layers or not set(handle.layers.values()) <= set(layers):
            raise UsageError(f"adapter {handle.name!r} (row {row} of mixed()) is not attached to this model.")
    for layer in layers:
        if layer.merged:
            raise UsageError(f"adapter {layer.merged[-1][0]!r} is merged; unmerge it before mixing a batch.")
        if layer.routes is not None:
            raise UsageError("mixed() cannot be used inside another mixed() of the same model.")
    if overlaid(model):
        raise UsageError(
            "an adapter on this model replaces whole tensors (modules_to_save), which all rows of a batch share; "
            "disable or detach it before mixing a batch."
        )
    for layer in layers:
        layer.routes = Routes(len(rows), {})
    for handle in dict.fromkeys(h for h in rows if h is not None):
        members = torch.tensor([row for row, own in enumerate(rows) if own is handle])
        for layer in handle.layers.values():
            assert layer.routes is not None  # set above
            layer.routes.members[handle.name] = members
    try:
        yield
    finally:
        for layer in layers:
            layer.routes = None
