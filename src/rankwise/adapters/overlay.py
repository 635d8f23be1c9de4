"""Whole tensors that an adapter brings along: PEFT's ``modules_to_save`` and the tables of adapted embeddings.

While the adapter is on they act in the place of the base's own tensors, which are put aside, never written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn

from rankwise.errors import UsageError

_ON = "_rankwise_overlaid"  # on the model: names of the tensors that are replaced now


class Overlay:
    """Full-shaped copies of some of a model's tensors; loaded with an adapter and not trained on here.

    Args:
        tensors: by the model's own dotted names, as they are in the file.
        keys: the name of each in the file; those that follow a tied one have none.
        modules: what the file's ``modules_to_save`` said.
        copies: the base's own tables under adapted embeddings, which PEFT puts in the file; kept for saving only.
    """

    def __init__(
        self,
        model: nn.Module,
        tensors: Mapping[str, Tensor],
        keys: Mapping[str, str],
        modules: list[str],
        copies: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.model, self.tensors, self.keys, self.modules = model, dict(tensors), dict(keys), list(modules)
        self.copies = dict(copies or {})
        self._aside: dict[str, nn.Parameter] = {}

    def on(self) -> None:
        """Put the copies in place, in the base's dtype and on its device. A tied tensor is untied meanwhile.

        Raises:
            UsageError: another adapter has replaced one of them; nothing is changed.
        """
        if self._aside or not self.tensors:
            return
        taken = self.model.__dict__.get(_ON, set())
        if clash := sorted(taken & set(self.tensors)):
            raise UsageError(f"another adapter on this model already replaces {clash[0]}; disable or detach it first.")
        for name, tensor in self.tensors.items():
            module, leaf = self._place(name)
            own = cast(nn.Parameter, module._parameters[leaf])
            self._aside[name] = own
            copy = tensor.to(device=own.device, dtype=own.dtype, copy=True)
            module._parameters[leaf] = nn.Parameter(copy, requires_grad=False)
        self.model.__dict__[_ON] = taken | set(self.tensors)

    def off(self) -> None:
        """Put the base's own tensors back, the very same ones."""
        for name, own in self._aside.items():
            module, leaf = self._place(name)
            module._parameters[leaf] = own
        self._aside = {}
        left = self.model.__dict__.get(_ON, set()) - set(self.tensors)
        if left:
            self.model.__dict__[_ON] = left
        else:
            self.model.__dict__.pop(_ON, None)

    def _place(self, name: str) -> tuple[nn.Module, str]:
        path, _, leaf = name.rpartition(".")
        return self.model.get_submodule(path), leaf


def overlaid(model: nn.Module) -> bool:
    """Return whether whole tensors of ``model`` are replaced now."""
    return bool(model.__dict__.get(_ON))


def relation(tensor: Tensor, own: Tensor) -> Literal["same", "grown", "other"]:
    """Say what a table in a file is to the base's ``own`` of the same shape.

    Returns:
        ``same``: a copy, exact or rounded to its own dtype. ``grown``: the same rows but for some at the end, which a
        resized vocabulary brought. ``other``: of another base.
    """
    here = own.detach().cpu()
    if torch.equal(tensor.to(own.dtype), here) or torch.equal(tensor, here.to(tensor.dtype)):
        return "same"
    alike = (tensor.to(own.dtype) == here) | (tensor == here.to(tensor.dtype))
    rows = alike.flatten(1).all(dim=1) if alike.dim() > 1 else alike
    first = int(rows.long().argmin())  # the first row that differs
    return "grown" if 2 * first >= len(rows) else "other"
