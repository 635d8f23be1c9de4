"""A private copy of only the weights under an adapter, for events that write them (Delta-LoRA and its kind)."""

from __future__ import annotations

import copy
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from rankwise.adapters import Adapter, Handle, check, orientation
from rankwise.models import Base
from rankwise.models.quiet import quiet
from rankwise.models.saving import save_model


class PrivateBase:
    """A model that shares every tensor with the base but the weights ``adapter`` sits on.

    Those are copies in the base's dtype, each with a float32 master where that is narrower: small changes add up there
    and are rounded into the working weight (docs/design/engine.md#master-weights).

    Attributes:
        model: the copy; the adapter is attached to it.
        masters: (d_out, d_in) by dotted module name, float32 or wider.
    """

    _PREFIX = "base/"

    def __init__(self, model: nn.Module, adapter: Adapter) -> None:
        shared = {id(t): t for t in chain(model.parameters(), model.buffers())}
        self.model: Any = copy.deepcopy(model, cast("dict[int, Any]", shared))
        self.masters: dict[str, Tensor] = {}
        for name, module in check(self.model, adapter).items():
            weight = cast(nn.Parameter, module.weight)
            module.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
            wide = torch.promote_types(weight.dtype, torch.float32)
            self.masters[name] = orientation.weight(module).to(wide).clone()

    def write(self, name: str, W: Tensor) -> None:
        """Set the weight (d_out, d_in) of one module: the master, and its rounding in the model, in place."""
        self.masters[name].copy_(W)
        module = self.model.get_submodule(name)
        with torch.no_grad():
            module.weight.copy_(orientation.stored(module, self.masters[name].to(module.weight.dtype)))

    def masters_by_name(self) -> dict[str, Tensor]:
        """Return the masters under the names a checkpoint uses."""
        return {f"{self._PREFIX}{name}": W for name, W in self.masters.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put :meth:`masters_by_name` back."""
        for name in self.masters:
            self.write(name, tensors[f"{self._PREFIX}{name}"])

    def save(self, handle: Handle, folder: Path, base: Base) -> None:
        """Write the whole model with the adapter in its weights, as full fine-tuning does; the adapter is detached."""
        for name in list(handle.layers):
            W = self.masters[name]
            self.write(name, W + handle.delta(name).to(W.dtype))
        handle.detach()
        with quiet():
            save_model(self.model, base.tokenizer, folder)
