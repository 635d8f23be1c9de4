"""The merged model beside the live adapter, on real text."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rankwise.adapters import Handle, load, orientation
from rankwise.adapters.experts import AdaptedExperts
from rankwise.errors import RunError
from rankwise.integrations.export.proof import bare_logits, live_logits, logits, text_ids
from rankwise.integrations.merge.shards import Shards
from rankwise.models import Base
from rankwise.models.folder import load_folder

SAME = 1e-5  # of the largest logit: the file's weights beside the same sums made in memory
UNROUNDED = 1e-4  # the same sums in float32 beside the live adapter: rounding of a deep forward pass


@dataclass(frozen=True)
class Verified:
    """Largest differences between logits, computed in float32.

    Attributes:
        difference: the merged files against the live adapter, rounding of the merged weights included.
        unrounded: weights merged in float32 against the live adapter.
        stored: the merged files against the same weights made and rounded in memory.
        effect: bare base against live.
    """

    tokens: int
    largest: float
    difference: float
    unrounded: float
    stored: float
    effect: float

    def sentence(self) -> str:
        """Return the numbers as text."""
        text = (
            f"logits checked on {self.tokens} tokens, as shares of the largest: the sums are the live adapter's "
            f"to {self.unrounded / self.largest:.1e} in float32, the files hold them to "
            f"{self.stored / self.largest:.1e}"
        )
        if self.difference > 2 * max(self.unrounded, SAME * self.largest):
            text += f"; rounding the weights moves logits by {self.difference / self.largest:.1e}"
        return f"{text} (the adapter moves them by {self.effect / self.largest:.1e})"

    def remarks(self) -> list[str]:
        """Return what a reader must know."""
        if self.difference <= 0.1 * self.effect:
            return []
        return [
            "rounding the merged weights loses more than a tenth of what the adapter does: --dtype float32 keeps it, "
            "as does serving the adapter beside the base"
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**self.__dict__, "share": self.difference / self.largest}


def fits(shards: Shards) -> str:
    """Return why a float32 copy of the model does not fit into free memory, or nothing when it does."""
    values = 0
    for entry in shards.entries.values():
        count = 1
        for size in entry.shape:
            count *= size
        values += count
    needed = int(values * 4 * 1.3)
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        free = next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return ""
    if needed <= free:
        return ""
    return f"that needs about {needed / 2**30:.0f} GB of memory and {free / 2**30:.0f} GB are free (--verify insists)"


def verify(base: Path, adapter: Path, merged: Path, dtypes: Mapping[str, torch.dtype]) -> Verified:
    """Compare logits; one model is in memory at a time.

    Args:
        dtypes: as written, of every tensor that takes an update or is replaced, by the model's name.

    Raises:
        RunError: they differ by more than rounding.
    """
    model, tokenizer, _ = load_folder(base, torch.float32)
    ids = text_ids(Base(model, tokenizer, str(base), ""))
    bare = _run(model, ids, partial(bare_logits, name=str(base)))
    handle = load(model, adapter)
    live = _run(model, ids, live_logits)
    _add(handle)
    sums = _run(model, ids)
    with torch.no_grad():
        for name, dtype in dtypes.items():
            tensor = model.get_parameter(name)
            tensor.copy_(tensor.to(dtype))
    rounded = _run(model, ids)
    del model, handle
    gc.collect()
    model, tokenizer, _ = load_folder(merged, torch.float32)
    found = _run(model, ids)
    largest = float(live.abs().max()) or 1.0
    gaps = (_gap(found, live), _gap(sums, live), _gap(found, rounded), _gap(bare, live))
    result = Verified(ids.shape[1], largest, *gaps)
    if not (result.unrounded <= UNROUNDED * largest and result.stored <= SAME * largest):
        raise RunError(f"the merged model is not the live one: {result.sentence()}; nothing was kept.")
    return result


def _add(handle: Handle) -> None:
    """Put the updates into the weights of our own copy of the base, and switch the adapter off beside them."""
    with torch.no_grad():
        owners = Counter(id(p) for _, p in handle.model.named_parameters(remove_duplicate=False))
        for path, layer in handle.layers.items():
            if isinstance(layer, AdaptedExperts):
                layer.merge(handle.name)
                layer.merged.pop()
                layer.enabled.remove(handle.name)
                continue
            delta = orientation.stored(layer, handle.delta(path))
            if owners[id(layer.weight)] > 1:  # tied: the other must not change
                layer.register_parameter("weight", nn.Parameter(layer.weight + delta, requires_grad=False))
            else:
                layer.weight.add_(delta)
            layer.enabled.remove(handle.name)


def _run(model: Any, ids: Tensor, of: Callable[[Any, Tensor], Tensor] = logits) -> Tensor:
    model.eval()
    with torch.no_grad():
        return of(model, ids)


def _gap(one: Tensor, two: Tensor) -> float:
    return float((one - two).abs().max())
