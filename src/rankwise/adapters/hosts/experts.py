"""Experts that are held together in three-dimensional parameters (transformers 5: Mixtral, Qwen2-MoE and many others).

Each such parameter is a stack of matrices, (experts, d_out, d_in), or (experts, d_in, d_out) where the class says
``is_transposed``. The module takes tokens, the experts chosen for each and their weights, so it is no linear layer:
what sits on it changes the stacks, see :mod:`rankwise.adapters.experts`. Recognized without importing transformers.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

from torch import Tensor, nn

from rankwise.adapters.hosts.base import HostKind
from rankwise.adapters.parametrizations.stacks import Stack


class Experts(HostKind):
    """A module whose own three-dimensional parameters have one matrix for every expert."""

    name: ClassVar[str] = "Experts"
    stacked: ClassVar[bool] = True

    def fits(self, module: nn.Module) -> bool:
        """Need the two attributes that say how it is laid out, and a stack."""
        known = hasattr(module, "is_transposed") and isinstance(getattr(module, "num_experts", None), int)
        return known and bool(self.stacks(module))

    def stacks(self, module: Any) -> tuple[Stack, ...]:
        """Return every stack, in the module's order."""
        found = []
        for name, p in module._parameters.items():
            if p is not None and p.dim() == 3 and len(p) == module.num_experts:
                rows, columns = (p.shape[2], p.shape[1]) if module.is_transposed else (p.shape[1], p.shape[2])
                found.append(Stack(name, len(p), rows, columns))
        return tuple(found)

    def active(self, module: Any) -> int:
        """Return how many experts serve one token; 1 when the config does not say."""
        return cast(int, getattr(getattr(module, "config", None), "num_experts_per_tok", None) or 1)

    def kept(self, module: nn.Module) -> nn.Parameter:
        """Return the first stack."""
        return cast(nn.Parameter, module._parameters[self.stacks(module)[0].name])

    def weight(self, module: nn.Module) -> Tensor:
        """Return the first expert's matrix of the first stack: there is no one W0."""
        return self.matrix(self.kept(module)).detach()

    def matrix(self, stored: Tensor) -> Tensor:
        """Return the first expert's matrix, as it lies."""
        return stored[0]

    def bias(self, module: nn.Module) -> Tensor | None:
        """None: biases of experts, where there are any, are left alone."""
        return None

    def shape(self, module: nn.Module) -> tuple[int, int]:
        """Return what goes out of an expert and what comes in."""
        stacks = self.stacks(module)
        return stacks[-1].d_out, stacks[0].d_in
