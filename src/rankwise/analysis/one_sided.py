"""An adapter of which only one factor trains, the other frozen at random orthonormal values (2402.16842)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from rankwise.adapters import Adapter, stream_seed
from rankwise.engine import AdapterTrainee, Forward


class OneSided(AdapterTrainee):
    """LoRA with A (or B) frozen at orthonormal rows (columns) and the other factor trained from zero."""

    def __init__(
        self, model: nn.Module, forward: Forward, adapter: Adapter, seed: int, *, trains: Literal["A", "B"]
    ) -> None:
        super().__init__(model, forward, adapter, seed)
        frozen = "A" if trains == "B" else "B"
        with torch.no_grad():
            for path, slot in self.handle.slots.items():
                factor = slot.factors[frozen]
                stream = torch.Generator().manual_seed(stream_seed(seed, "orthonormal", path))
                tall = torch.randn(max(factor.shape), min(factor.shape), generator=stream, dtype=factor.dtype)
                Q = torch.linalg.qr(tall).Q
                factor.copy_(Q if factor.shape[0] >= factor.shape[1] else Q.T)
                factor.requires_grad_(False)
                slot.factors[trains].zero_()
        self._parameters = {k: p for k, p in self._parameters.items() if k.endswith(f".{trains}")}
