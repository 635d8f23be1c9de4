"""From token ids to the negative log-likelihood of the targets, of one adapter or of several side by side.

Every shortcut is trusted only after a probe on the model at hand, else the stock path is used and ``notes`` says so:
the head is applied to target positions only (some models rescale or cap logits outside the head), the attention mask
is left out (under causal attention, padding on the right cannot reach a real token), and passes are flat: real tokens
end to end, no padding at all (fast/). Off the CPU passes are padded and attention is the model's own.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rankwise.adapters.fused import Segment
from rankwise.adapters.layers import AdaptedLayer
from rankwise.engine.attention.pattern import patterned
from rankwise.engine.batches import Batch
from rankwise.engine.fast.head import target_nll
from rankwise.engine.fast.hook import flat_attention
from rankwise.engine.fast.layout import Layout, lay_out
from rankwise.engine.fast.probe import LENGTHS, rows_independent, sees_all_rows, why_not_flat
from rankwise.engine.fast.rows import least_rows
from rankwise.engine.pack.sharing import joined

# A larger head is not probed for sharing its product: the probe would take seconds.
_PROBED_HEAD = 2**25

Part = tuple[str | None, Batch]


class Forward:
    """Computes target losses for one model. Make one per model; probing costs about ten tiny forward passes.

    Args:
        flat: False for padded passes whatever the probe would say; True to try flat ones off the CPU too.

    Attributes:
        targets_only: the head runs on target rows only.
        maskless: no attention mask is passed in padded passes.
        layout: "flat" or "padded".
        notes: why not flat, or why parts do not share passes; empty when both hold.
    """

    def __init__(self, model: nn.Module, flat: bool | None = None) -> None:
        self._hold(model)
        with torch.no_grad(), _segments(model, ()):
            self.targets_only = self._probe_head()
            self.maskless = self._probe_padding()
            reason = self._why_padded(flat)
        self.layout: Literal["flat", "padded"] = "padded" if reason else "flat"
        self.notes: list[str] = [f"Passes are padded: {reason}."] if reason else []

    def _hold(self, model: Any) -> None:
        self.model: Any = model
        self.backbone: Any = getattr(model, "base_model", None)
        self.head: Any = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._together: dict[int, tuple[int | None, int | None]] = {}

    def like(self, model: nn.Module) -> Forward:
        """Return the same decisions for a copy of the probed model."""
        twin = object.__new__(Forward)
        twin._hold(model)
        twin.targets_only, twin.maskless = self.targets_only, self.maskless
        twin.layout, twin.notes = self.layout, list(self.notes)
        return twin

    def whole(self) -> Forward:
        """Return padded passes through the whole model: for an adapter that lengthens its sequences."""
        twin = self.like(self.model)
        twin.layout, twin.targets_only = "padded", False
        return twin

    def nll(self, batch: Batch) -> Tensor:
        """Return the negative log-likelihood of every target, (M,) float32 or wider, example by example.

        The enabled adapters act; one alone gives the very bits of :meth:`nll_many` with its name.
        """
        layers = [m for m in self.model.modules() if isinstance(m, AdaptedLayer)]
        names = {n for layer in layers for n in layer.enabled if n not in {merged for merged, _ in layer.merged}}
        if len(names) > 1:  # they add up: the formulas of the parametrizations, one after another
            return self._flat([batch])[0] if self.layout == "flat" else self._padded(batch)
        return self._alone((next(iter(names), None), batch))

    def nll_many(self, parts: Sequence[Part]) -> list[Tensor]:
        """Return :meth:`nll` of every part, computed with the adapter of that name only (None: the base alone).

        Each part has the bits, and after a backward pass through the sum of all parts each adapter has the gradients,
        of that part alone: rows of different parts meet only inside products of the frozen base, where this machine
        was probed to keep them apart. Parts that are too small for that get a pass of their own.

        Args:
            parts: (name of an attached adapter or None, its batch); a name may come more than once.
        """
        if self.layout == "padded" or len(parts) == 1:
            return [self._alone(part) for part in parts]
        body, head = self._least_rows()
        joint = joined([self._rows(batch) for _, batch in parts], body)
        losses: dict[int, Tensor] = {i: self._alone(part) for i, part in enumerate(parts) if i not in joint}
        if joint:
            names = [parts[i][0] for i in joint]
            losses |= zip(joint, self._flat([parts[i][1] for i in joint], names, head), strict=True)
        return [losses[i] for i in range(len(parts))]

    def only(self, name: str | None) -> contextlib.AbstractContextManager[None]:
        """Let the adapter of that name act alone (None: none) on whatever the model is given inside the block."""
        return _segments(self.model, () if name is None else (Segment(name, 0, None),))

    def _alone(self, part: Part) -> Tensor:
        name, batch = part
        if self.layout == "flat":
            return self._flat([batch], [name])[0]
        with self.only(name):
            return self._padded(batch)

    def _flat(
        self, batches: list[Batch], names: list[str | None] | None = None, together: int | None = None
    ) -> tuple[Tensor, ...]:
        """One pass over the rows of all batches; without names the enabled adapters act on all of them."""
        layout = lay_out(batches)
        segments = None if names is None else _rows_of(names, layout)
        with flat_attention(self.model, layout), _segments(self.model, segments):
            if not self.targets_only:
                kept = {"logits_to_keep": layout.targets} if self._keeps else {}
                logits = self._stock(layout.ids, layout.positions, **kept)
                return _cross_entropy(logits if kept else logits[layout.targets], layout.next_ids).split(layout.counts)
            hidden = self._body(layout.ids, layout.positions).index_select(0, layout.targets)
        if type(self.head) is nn.Linear:
            nll = self._head_nll(hidden, layout.next_ids, layout.counts, together)
            return nll.split(layout.counts)
        losses = []
        for i, (h, ids) in enumerate(
            zip(hidden.split(layout.counts), layout.next_ids.split(layout.counts), strict=True)
        ):
            name = names[i] if names is not None else None
            own = None if names is None else () if name is None else (Segment(name, 0, None),)
            with _segments(self.model, own):
                losses.append(_cross_entropy(self.head(h), ids))
        return tuple(losses)

    def _padded(self, batch: Batch) -> Tensor:
        with patterned(self.model, batch.attention):
            return self._padded_nll(batch)

    def _padded_nll(self, batch: Batch) -> Tensor:
        mask = None if self.maskless else batch.attention_mask
        if not self.targets_only:
            logits = self.model(input_ids=batch.ids, attention_mask=mask, use_cache=False).logits
            return _cross_entropy(logits[batch.rows, batch.columns], batch.next_ids)
        hidden = self.backbone(input_ids=batch.ids, attention_mask=mask, use_cache=False).last_hidden_state
        hidden = hidden[batch.rows, batch.columns]
        if type(self.head) is nn.Linear and hidden.device.type == "cpu":
            return self._head_nll(hidden, batch.next_ids, (len(batch.next_ids),), None)
        return _cross_entropy(self.head(hidden), batch.next_ids)

    def _head_nll(self, hidden: Tensor, ids: Tensor, counts: Sequence[int], together: int | None) -> Tensor:
        if self.head.bias is not None and self.head.bias.requires_grad:
            return _cross_entropy(self.head(hidden), ids)
        return target_nll(hidden, self.head.weight, self.head.bias, ids, counts, together)

    def _body(self, ids: Tensor, positions: Tensor | None = None) -> Tensor:
        where = {} if positions is None else {"position_ids": positions}
        return self.backbone(input_ids=ids, use_cache=False, **where).last_hidden_state[0]

    def _stock(self, ids: Tensor, positions: Tensor | None = None, **kept: Tensor) -> Tensor:
        where = {} if positions is None else {"position_ids": positions}
        return self.model(input_ids=ids, use_cache=False, **where, **kept).logits[0]

    def _rows(self, batch: Batch) -> int:
        rows = sum(batch.lengths)
        if type(self.head) is not nn.Linear or not self.targets_only:
            rows = min(rows, len(batch.next_ids))  # the head shares a pass too
        return rows

    def _least_rows(self) -> tuple[int | None, int | None]:
        """Rows from which parts may share the products of the body and of the head; probed when first needed."""
        threads = torch.get_num_threads()  # they decide how a product is cut
        if threads not in self._together:
            self._together[threads] = self._probe_rows()
        return self._together[threads]

    def _probe_rows(self) -> tuple[int | None, int | None]:
        run = self._body if self.targets_only else self._stock
        ids = self._ids(len(LENGTHS))
        with torch.no_grad(), _segments(self.model, ()):
            if not sees_all_rows(self.model, run, ids):
                self.notes.append("Parts do not share passes: some layers see other rows than those of the pass.")
                return None, None
            body = least_rows(m for m in self.model.modules() if m is not self.head)
            if body is None or not rows_independent(self.model, run, ids, body):
                self.notes.append("Parts do not share passes: on this machine a row's bits depend on those beside it.")
                return None, None
            small = self.head is not None and self.head.weight.numel() <= _PROBED_HEAD
            return body, least_rows([self.head]) if small else None

    def _ids(self, rows: int = 2) -> Tensor:
        vocabulary = int(self.model.get_input_embeddings().weight.shape[0])
        stream = torch.Generator().manual_seed(0)
        device = next(self.model.parameters()).device
        return torch.randint(vocabulary, (rows, 24), generator=stream).to(device)

    def _probe_head(self) -> bool:
        if self.head is None or self.backbone is None or self.backbone is self.model:
            return False
        ids = self._ids()
        stock = self.model(input_ids=ids, use_cache=False).logits
        split = self.head(self.backbone(input_ids=ids, use_cache=False).last_hidden_state)
        return stock.shape == split.shape and torch.equal(stock, split)

    def _probe_padding(self) -> bool:
        ids = self._ids()
        changed = ids.clone()
        changed[0, 16:] = (changed[0, 16:] + 1) % int(ids.max() + 1)
        plain, other = (self.model(input_ids=i, use_cache=False).logits[0, :16] for i in (ids, changed))
        return torch.equal(plain, other)

    def _why_padded(self, flat: bool | None) -> str | None:
        device = next(self.model.parameters()).device.type
        if flat is False:
            return "asked for"
        if flat is None and device != "cpu":
            return f"flat passes were measured on CPU only, this is {device}"
        return why_not_flat(self.model, self._body if self.targets_only else self._stock, self._ids(len(LENGTHS)))


def _cross_entropy(logits: Tensor, next_ids: Tensor) -> Tensor:
    wide = torch.promote_types(logits.dtype, torch.float32)
    return cross_entropy(logits.to(wide), next_ids, reduction="none")


def _rows_of(names: Sequence[str | None], layout: Layout) -> tuple[Segment, ...]:
    if len(names) == 1:
        return () if names[0] is None else (Segment(names[0], 0, None),)
    return tuple(Segment(name, *span) for name, span in zip(names, layout.spans, strict=True) if name is not None)


@contextlib.contextmanager
def _segments(model: nn.Module, segments: tuple[Segment, ...] | None) -> Iterator[None]:
    """Let each adapter act on its own rows only, inside the block."""
    layers = [module for module in model.modules() if isinstance(module, AdaptedLayer)]
    before = [layer.segments for layer in layers]
    for layer in layers:
        layer.segments = segments
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.segments = own
