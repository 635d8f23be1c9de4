"""From token ids to the negative log-likelihood of the targets, with no logits for anything else.

Two shortcuts, each trusted only after a probe on the model at hand, else the stock path is used and said so:
the head is applied to target positions only (some models rescale or cap logits outside the head), and the
attention mask is left out (under causal attention, padding on the right cannot reach a real token).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rankwise.adapters.layers import AdaptedLayer
from rankwise.engine.batches import Batch


class Forward:
    """Computes target losses for one model. Make one per model; probing costs four tiny forward passes.

    Attributes:
        targets_only: the head runs on target rows only.
        maskless: no attention mask is passed.
    """

    def __init__(self, model: nn.Module) -> None:
        self._hold(model)
        with torch.no_grad():
            self.targets_only = self._probe_head()
            self.maskless = self._probe_padding()

    def _hold(self, model: Any) -> None:
        self.model: Any = model
        self.backbone: Any = getattr(model, "base_model", None)
        self.head: Any = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None

    def like(self, model: nn.Module) -> Forward:
        """Return the same decisions for a copy of the probed model."""
        twin = object.__new__(Forward)
        twin._hold(model)
        twin.targets_only, twin.maskless = self.targets_only, self.maskless
        return twin

    def nll(self, batch: Batch) -> Tensor:
        """Return the negative log-likelihood of every target, (M,) float32 or wider, example by example."""
        mask = None if self.maskless else batch.attention_mask
        if self.targets_only:
            hidden = self.backbone(input_ids=batch.ids, attention_mask=mask, use_cache=False).last_hidden_state
            logits = self.head(hidden[batch.rows, batch.columns])
        else:
            stock = self.model(input_ids=batch.ids, attention_mask=mask, use_cache=False).logits
            logits = stock[batch.rows, batch.columns]
        wide = torch.promote_types(logits.dtype, torch.float32)
        return cross_entropy(logits.to(wide), batch.next_ids, reduction="none")

    def nll_many(self, parts: Sequence[tuple[str | None, Batch]]) -> list[Tensor]:
        """Return :meth:`nll` of every part, each computed with the adapter of its name only (None: the base alone)."""
        layers = [m for m in self.model.modules() if isinstance(m, AdaptedLayer)]
        before = [layer.enabled for layer in layers]
        found = []
        try:
            for name, batch in parts:
                for layer in layers:
                    layer.enabled = [n for n in layer.adapters if n == name]
                found.append(self.nll(batch))
        finally:
            for layer, enabled in zip(layers, before, strict=True):
                layer.enabled = enabled
        return found

    def _ids(self) -> Tensor:
        vocabulary = int(self.model.get_input_embeddings().weight.shape[0])
        stream = torch.Generator().manual_seed(0)
        device = next(self.model.parameters()).device
        return torch.randint(vocabulary, (2, 24), generator=stream).to(device)

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
