"""Is the flat layout right for this model? Tried on the model itself before it is used.

Three sequences end to end must come out as each does alone by the model's stock attention, and changing one must
leave every number of the others as it was. Attention that the model would have got as a mask (a sliding window) must
have been asked of our function, for short probes cannot show a long window. See docs/design/engine.md#flat-passes
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rankwise.adapters import orientation
from rankwise.engine.batches import Batch
from rankwise.engine.fast.hook import UnsupportedError, flat_attention
from rankwise.engine.fast.layout import Layout, lay_out

LENGTHS = (24, 16, 17)
# Of the largest number; 0.05 for lower precisions. Some models take float32 steps in float64 too.
_TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-3}
_KNOWN_LAYERS = {"full_attention", "sliding_attention"}

Run = Callable[[Tensor, Tensor | None], Tensor]  # (1, T) ids and positions -> (T, D) hidden states or logits


def whole_batch(ids: Tensor, lengths: tuple[int, ...] = LENGTHS) -> Batch:
    """Return sequences of random ids (N, longest) as a batch in which every token after the first is a target."""
    real = torch.arange(ids.shape[1], device=ids.device)[None, :] < torch.tensor(lengths, device=ids.device)[:, None]
    rows, at = (real & (torch.arange(ids.shape[1], device=ids.device) > 0)).nonzero(as_tuple=True)
    counts = [length - 1 for length in lengths]
    return Batch(ids * real, real.long(), rows, at - 1, ids[rows, at], counts, list(lengths))


def why_not_flat(model: Any, run: Run, ids: Tensor) -> str | None:
    """Return why ``model`` must not run flat, None when it may.

    Args:
        run: the model's pass; with positions it is flat, without them stock.
        ids: (3, 24) random token ids.
    """
    config = getattr(model, "config", None)
    if config is None or not hasattr(config, "_attn_implementation_internal"):
        return "it is not a transformers model whose attention can be replaced"
    if getattr(config, "attention_chunk_size", None):
        return "it attends in chunks"
    kinds = set(getattr(config, "layer_types", None) or ())
    if not kinds <= _KNOWN_LAYERS:
        return f"it has layers of kind {', '.join(sorted(kinds - _KNOWN_LAYERS))}"
    try:
        return _compare(model, run, ids)
    except (UnsupportedError, TypeError, ValueError, LookupError, RuntimeError, AttributeError) as error:
        return f"it does not run that way ({str(error).splitlines()[0] if str(error) else type(error).__name__})"


def _flat(model: Any, run: Run, ids: Tensor) -> tuple[Layout, Tensor]:
    layout = lay_out([whole_batch(ids)])
    with flat_attention(model, layout):
        return layout, run(layout.ids, layout.positions)


def _compare(model: Any, run: Run, ids: Tensor) -> str | None:
    layout, flat = _flat(model, run, ids)
    if not layout.windows:
        return "its attention does not go through the registry"
    wanted = _sliding_window(model.config)
    if wanted is not None and wanted not in layout.windows:
        return "it keeps its sliding window to itself"
    stock = torch.cat([run(row[None, :length], None) for row, length in zip(ids, LENGTHS, strict=True)])
    bound = _TOLERANCE.get(stock.dtype, 0.05) * float(stock.abs().max())
    if flat.shape != stock.shape or not float((flat - stock).abs().max()) <= bound:
        return "flat passes do not give the numbers of padded ones"
    ends = torch.tensor((0, *LENGTHS)).cumsum(0).tolist()
    for changed in (0, len(LENGTHS) - 1):
        other = ids.clone()
        other[changed] = (other[changed] + 1) % int(ids.max() + 1)
        _, moved = _flat(model, run, other)
        rest = torch.ones(len(flat), dtype=torch.bool)
        rest[ends[changed] : ends[changed + 1]] = False
        if not torch.equal(moved[rest], flat[rest]):
            return "one sequence of a flat pass changes another"
        if torch.equal(moved, flat):
            return "its output does not depend on its input"
    return None


def _sliding_window(config: Any) -> int | None:
    if not getattr(config, "use_sliding_window", True):
        return None
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and "sliding_attention" not in kinds:
        return None
    return getattr(config, "sliding_window", None)


def sees_all_rows(model: Any, run: Run, ids: Tensor) -> bool:
    """Return whether every linear layer of the body sees all rows of a flat pass, as a joint pass needs.

    Experts of a mixture see those routed to them, so the rows of two adapters could not be told apart.
    """
    total = sum(LENGTHS)
    seen: list[int] = []

    def count(_: Any, inputs: Any) -> None:
        seen.append(inputs[0].numel() // inputs[0].shape[-1])

    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    hooks = [m.register_forward_pre_hook(count) for m in model.modules() if orientation.is_linear(m) and m is not head]
    try:
        _flat(model, run, ids)
    finally:
        for hook in hooks:
            hook.remove()
    return bool(seen) and set(seen) == {total}


def rows_independent(model: Any, run: Run, ids: Tensor, least: int) -> bool:
    """Return whether the whole body gives a sequence the same bits alone as beside others."""
    lengths = tuple(max(length, least) for length in LENGTHS)
    width = max(lengths)
    ids = ids.repeat(1, -(-width // ids.shape[1]))[:, :width]
    batches = [whole_batch(row[None, :length], (length,)) for row, length in zip(ids, lengths, strict=True)]
    layouts = [lay_out(batches), *(lay_out([batch]) for batch in batches)]
    joint, *alone = (_run(model, run, layout) for layout in layouts)
    return torch.equal(joint, torch.cat(alone))


def _run(model: Any, run: Run, layout: Layout) -> Tensor:
    with flat_attention(model, layout):
        return run(layout.ids, layout.positions)
