"""The adapted module of experts: its stacks of matrices are changed for the length of a pass.

Whatever code runs the experts (transformers has several, chosen in the config) reads the changed stacks where it would
read the module's own, so all of them are served alike. The price is memory for one module's experts at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from rankwise.adapters import orientation
from rankwise.adapters.layers import AdaptedLayer, Kept
from rankwise.adapters.parametrizations.stacks import OnStacks
from rankwise.adapters.slot import Slot
from rankwise.errors import UsageError


@dataclass(frozen=True)
class KeptStacks(Kept):
    """The very stacks that a merge replaced, by name."""

    stacks: dict[str, nn.Parameter]


class AdaptedExperts(AdaptedLayer):
    """Mixin in front of a module of experts."""

    _rankwise_mixin = True

    @property
    def weight(self) -> Tensor:
        """The first expert's matrix of the first stack: there is no one W0."""
        return orientation.host(self).weight(self)

    @property
    def origin(self) -> object:
        """The identity of the first stack that the module computes with now."""
        return orientation.host(self).kept(self)

    def forward(self, x: Tensor, *routing: Any, **named: Any) -> Tensor:
        """Return the experts' output for tokens ``x`` (tokens, width), with every enabled, unmerged update."""
        if self.routes is not None:
            raise UsageError(
                "a mixed() batch cannot hold an adapter on experts, which see tokens, not examples; run it by itself."
            )
        merged = {name for name, _ in self.merged}
        if self.segments is None:
            with self._changed([name for name in self.enabled if name not in merged]):
                return self._experts(x, *routing, **named)
        pieces, done = [], 0
        for name, start, stop in (*self.segments, ("", len(x), len(x))):  # what nobody owns is the base's
            end = len(x) if stop is None else stop
            for names, rows in (([], slice(done, start)), ([name] if name in self.adapters else [], slice(start, end))):
                if rows.start < rows.stop:
                    cut = {key: value[rows] for key, value in named.items()}
                    with self._changed(names):
                        pieces.append(self._experts(x[rows], *(value[rows] for value in routing), **cut))
            done = end
        return torch.cat(pieces)

    def _experts(self, *args: Any, **named: Any) -> Tensor:
        """Run the module's own class."""
        return cast(Tensor, super(AdaptedLayer, self).forward(*args, **named))

    @contextmanager
    def _changed(self, names: Sequence[str]) -> Iterator[None]:
        """Put the updates of these adapters into the stacks; at the end the very same parameters are back."""
        own: Any = self._parameters
        kept = dict(own)
        try:
            for name in names:
                for stack, change in self.changes(name).items():
                    own[stack] = own[stack] + change.to(own[stack].dtype)
            yield
        finally:
            own.update(kept)

    def changes(self, name: str) -> dict[str, Tensor]:
        """Return an adapter's updates as the stacks are stored."""
        slot = cast(Slot, self.adapters[name])
        factors, scaling = (slot.factors, slot.scaling) if slot.lens is None else slot.lens(slot.factors, slot.scaling)
        changes = cast(OnStacks, slot.parametrization).changes(factors, scaling)
        return {stack: change.mT if self.is_transposed else change for stack, change in changes.items()}

    def merge(self, name: str) -> None:
        """Put ``name``'s updates into the stacks: one rounding, in new parameters; the base's are untouched."""
        with torch.no_grad():
            changes = self.changes(name)
        kept = {stack: cast(nn.Parameter, self._parameters[stack]) for stack in changes}
        for stack, change in changes.items():
            wide = torch.promote_types(kept[stack].dtype, change.dtype)
            W = (kept[stack].detach().to(wide) + change.to(wide)).to(kept[stack].dtype)
            self.register_parameter(stack, nn.Parameter(W.contiguous(), requires_grad=False))
        self.merged.append((name, KeptStacks(None, None, kept)))

    def unmerge(self, name: str) -> None:
        """Put back the very tensors that were there before :meth:`merge`."""
        self.check_unmerge(name)
        _, kept = self.merged.pop()
        for stack, own in cast(KeptStacks, kept).stacks.items():
            self.register_parameter(stack, own)


def part_of(module: nn.Module) -> type[AdaptedLayer]:
    """Return the mixin for this kind of module."""
    return AdaptedExperts if orientation.host(module).stacked else AdaptedLayer
