"""LoRA on every expert of a mixture whose experts are held in stacks: Hu et al., 2021, arXiv 2106.09685, on each matrix
by itself.

    W_e = W0_e + s * B_e @ A_e     for every expert e of a stack     A: (experts, r, d_in), B: (experts, d_out, r)

r is ``rank``, or ``rank / active`` with ``divided``: then a token, which ``active`` experts serve, meets as many
trained numbers as in a dense layer with LoRA of that rank ("LoRA Without Regret", 2025). s is the adapter's in both
cases. The changed stacks are made whole for every pass, in the dtype of W0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from rankwise.adapters.parametrizations.base import Drop, Factors, Host, Parametrization, Shapes
from rankwise.errors import UsageError


class Stack(NamedTuple):
    """One parameter of a module of experts, seen as (experts, d_out, d_in)."""

    name: str
    experts: int
    d_out: int
    d_in: int


@dataclass(frozen=True)
class ExpertLowRank(Parametrization):
    """B_e A_e for every expert of every stack.

    Args:
        divided: the rank is shared out among the experts that serve a token.
    """

    name: ClassVar[str] = "expert-low-rank"
    kind: ClassVar[Literal["overlay"]] = "overlay"
    needs: ClassVar[frozenset[str]] = frozenset()
    drops: ClassVar[bool] = False
    lookup: ClassVar[bool] = False
    on_stacks: ClassVar[bool] = True
    divided: bool = False

    def of(self, stacks: tuple[Stack, ...], active: int) -> Parametrization:
        """Return what sits on a module with these stacks, of which ``active`` experts serve a token."""
        return OnStacks(self.divided, stacks, active)

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Return those of one expert of a stack."""
        return {"A of an expert": (rank, d_in), "B of an expert": (d_out, rank)}

    def described_shapes(self) -> dict[str, str]:
        """Return them in words."""
        r = "r / active" if self.divided else "r"
        return {"A of a stack": f"(experts, {r}, d_in)", "B of a stack": f"(experts, d_out, {r})"}

    def update(self, x: Tensor, factors: Factors, start: Factors, drop: Drop, host: Host) -> Tensor:
        """Refuse: only a layer that x goes through asks, and ``on_stacks`` keeps this off those (see ``attach.check``).

        A module of experts (:mod:`rankwise.adapters.experts`) asks for :meth:`OnStacks.changes` instead.
        """
        raise NotImplementedError(f"{self.name!r} sits on stacks of weights (on_stacks), which ask for changes()")

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted output as text."""
        return f"(W0 + {scale} B A) x in every expert" + (", rank over active experts" if self.divided else "")


@dataclass(frozen=True)
class OnStacks(ExpertLowRank):
    """The same on one module, whose stacks are known."""

    stacks: tuple[Stack, ...] = ()
    active: int = 1

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Refuse a rank that the active experts cannot share."""
        if self.divided and rank % self.active:
            raise UsageError(
                f"'expert-low-rank' divides the rank by the active experts of {module}, which are {self.active}; "
                f"use a rank that they divide, found {rank}."
            )

    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """experts * r * (d_in + d_out) parameters for every stack."""
        r = rank // self.active if self.divided else rank
        found: Shapes = {}
        for stack in self.stacks:
            found |= {
                f"{stack.name}_A": (stack.experts, r, stack.d_in),
                f"{stack.name}_B": (stack.experts, stack.d_out, r),
            }
        return found

    def multiplied(self, shapes: Shapes) -> int:
        """Return those of the active experts."""
        return sum(self.active * r * width for _, r, width in shapes.values())

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return A uniform within 1/sqrt(d_in), as init 'kaiming' draws it, and B = 0."""
        found = {}
        for name, shape in self.shapes(*host.size, rank).items():
            a = name.endswith("_A")
            found[name] = host.uniform(generator, shape[2] ** -0.5, *shape) if a else host.zeros(*shape)
        return found

    def changes(self, factors: Factors, scaling: float) -> dict[str, Tensor]:
        """Return s B A of every stack by name, each (experts, d_out, d_in), float32 or wider."""
        return {
            stack.name: scaling * torch.bmm(factors[f"{stack.name}_B"], factors[f"{stack.name}_A"])
            for stack in self.stacks
        }

    def dense(self, factors: Factors, start: Factors, host: Host) -> Tensor:
        """Return one matrix with a block for each stack on its diagonal, in which experts lie below one another."""
        return torch.block_diag(*(change.flatten(0, 1) for change in self.changes(factors, host.scaling).values()))
