"""The contract of a parametrization.

``factors`` are the tensors of one layer by name, trainable, frozen and shared alike; ``start`` holds their frozen
starting values when the init is one that the papers write as an edit of ``W0`` (empty otherwise).

Most updates are ``s * delta(factors)``: a :class:`Delta` needs ``shapes``, ``apply``, ``delta`` and ``formula``. One in
which W0 or s takes another part overrides ``update`` and ``dense`` (with ``complete`` and ``weight_formula``), which
get a :class:`Host`. Updates of other kinds derive from :class:`Parametrization` and give ``update``. One that is a
product of two thin matrices says which in ``plain``: then it exports exactly.

Who owns a tensor: names in ``shapes`` train, unless the freezing axis says no; those in ``frozen_shapes`` never do;
``shared_shapes`` are tensors that all layers of one adapter have in common.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import embedding, linear

from rankwise.adapters.axis import Choice
from rankwise.errors import UsageError

Factors = Mapping[str, Tensor]
Shapes = dict[str, tuple[int, ...]]
Drop = Callable[[Tensor], Tensor]
LOW_RANK = frozenset({"A", "B"})


def project(x: Tensor, M: Tensor) -> Tensor:
    """Return ``M x`` for rows ``x`` (..., n), or the columns of ``M`` (m, n) when ``x`` holds token ids."""
    if x.is_floating_point():
        return linear(x, M.to(x.dtype))
    return embedding(x, M.T)


@dataclass(frozen=True)
class Host:
    """The frozen layer an adapter was attached to, as far as a parametrization may read it, and the scale.

    Attributes:
        scaling: s.
        read: gives W0; reading costs a dequantization when W0 is stored in codes.
        x, y, bias: the input of this pass and the layer's output for it, when that is at hand, and its bias.
        normalize: of a normalization, what it does before its gain.
    """

    scaling: float
    read: Callable[[], Tensor]
    x: Tensor | None = None
    y: Tensor | None = None
    bias: Tensor | None = None
    normalize: Callable[[Tensor], Tensor] | None = None

    @property
    def W0(self) -> Tensor:
        """(d_out, d_in), detached, in the base's dtype; never to be written."""
        return self.read()

    @property
    def size(self) -> tuple[int, int]:
        """(d_out, d_in)."""
        d_out, d_in = self.W0.shape
        return d_out, d_in

    def zeros(self, *shape: int) -> Tensor:
        """Return zeros on W0's device, float32 or wider."""
        W0 = self.W0
        return torch.zeros(shape, dtype=torch.promote_types(W0.dtype, torch.float32), device=W0.device)

    def normal(self, generator: torch.Generator, std: float, *shape: int) -> Tensor:
        """Return N(0, std^2), drawn on the CPU, on W0's device."""
        zeros = self.zeros(*shape)
        return (std * torch.randn(shape, generator=generator, dtype=zeros.dtype)).to(zeros.device)

    def uniform(self, generator: torch.Generator, bound: float, *shape: int) -> Tensor:
        """Return U(-bound, bound), drawn on the CPU, on W0's device."""
        zeros = self.zeros(*shape)
        unit = torch.rand(shape, generator=generator, dtype=zeros.dtype)
        return ((2 * unit - 1) * bound).to(zeros.device)

    def normalized(self, x: Tensor) -> Tensor:
        """Return what a normalization multiplies its gain with."""
        assert self.normalize is not None  # attach lets nothing that asks sit elsewhere
        return self.normalize(x)

    def product(self, x: Tensor) -> Tensor:
        """Return ``W0 x`` without bias, from the layer's own output when ``x`` is the very input of the pass."""
        if x is self.x and self.y is not None:
            return self.y if self.bias is None else self.y - self.bias
        return project(x, self.W0)

    def output(self, x: Tensor) -> Tensor:
        """Return ``W0 x + bias``."""
        if x is self.x and self.y is not None:
            return self.y
        product = project(x, self.W0)
        return product if self.bias is None else product + self.bias.to(product.dtype)


@dataclass(frozen=True)
class Parametrization(Choice, abc.ABC):
    """How factors become an update. Traits are class variables; :mod:`..compatibility` reads them."""

    kind: ClassVar[Literal["delta", "activation", "prompt", "overlay", "routed"]]

    needs: ClassVar[frozenset[str]] = LOW_RANK
    """The factors that it takes from an init; empty when it starts itself (init 'own')."""

    gated: ClassVar[bool] = False
    """Its update is zero (or tiny) at the start whatever A and B are, and neither may be zero: nothing would move."""

    takes_start: ClassVar[bool] = False
    """It subtracts a frozen start, so that base-editing inits work."""

    ranked: ClassVar[bool] = True
    """Rank, alpha and scaling mean something."""

    drops: ClassVar[bool] = True
    """It applies dropout to its input."""

    lookup: ClassVar[bool] = True
    """Works where the input is token ids."""

    on_vectors: ClassVar[bool] = False
    """It can sit on a layer without a matrix, such as a normalization."""

    on_matrices: ClassVar[bool] = True
    """It can sit on a layer with a matrix."""

    only_tables: ClassVar[bool] = False
    """It can sit on a table of embeddings only."""

    on_stacks: ClassVar[bool] = False
    """It sits on modules that hold stacks of matrices (experts), and on nothing else; :meth:`of` gives its part."""

    reads_base: ClassVar[bool] = False
    """Its update depends on W0 (besides the start)."""

    offers: ClassVar[Literal["", "pair", "switch", "gates"]] = ""
    """What events can act on: a ``pair``, the A and B that train, with update s B A; a ``switch``, a factor e that is
    zero where a component is off; hard ``gates`` of single entries, a factor a."""

    @property
    def soft_gates(self) -> bool:
        """Whether its factor e holds, for every component, the logit of a gate between 0 and 1."""
        return False

    rate: ClassVar[float] = 1.0
    """Its best learning rate as a multiple of LoRA's, roughly: where a search starts."""

    not_merged: ClassVar[str] = ""
    """Why it cannot be merged, after the words "it cannot be merged: "; empty when it can."""

    @abc.abstractmethod
    def shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Return the shape of every trainable tensor of a (d_out, d_in) layer, by name."""

    @abc.abstractmethod
    def update(self, x: Tensor, factors: Factors, start: Factors, drop: Drop, host: Host) -> Tensor:
        """Return what the adapter adds to the layer's output for ``x``, scaled."""

    @abc.abstractmethod
    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted weight (or output) as text."""

    def at(self, module: str) -> Parametrization:
        """Return the choice for the module of this dotted name: itself, unless modules are treated differently."""
        return self

    def of(self, stacks: Any, active: int) -> Parametrization:
        """Return the choice for a module with these stacks (most have none), ``active`` experts serving a token."""
        return self

    def check(self, rank: int, d_out: int, d_in: int, module: str) -> None:
        """Refuse a layer this parametrization cannot serve.

        Raises:
            UsageError: naming the module and the reason.
        """

    def shared_shapes(self, layers: Sequence[tuple[int, int]], rank: int) -> Shapes:
        """Return the shape of every tensor that all ``layers`` (d_out, d_in) share, by name."""
        return {}

    def trains_shared(self, name: str) -> bool:
        """Return whether the shared tensor of this name trains (its gradients are summed over layers) or is frozen."""
        return False

    def multiplied(self, shapes: Shapes) -> int:
        """Return how many numbers of a layer's tensors of these shapes one token is multiplied with."""
        return sum(map(prod, shapes.values()))

    def described_shapes(self) -> dict[str, str]:
        """Return the tensors of a layer by name as text; empty where their sizes say enough."""
        return {}

    def frozen_shapes(self, d_out: int, d_in: int, rank: int) -> Shapes:
        """Return the shape of every tensor of a layer that :meth:`complete` gives and that never trains, by name."""
        return {}

    def share(
        self, layers: Sequence[tuple[int, int]], rank: int, dtype: torch.dtype, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the shared tensors' starting values. All randomness comes from ``generator``."""
        return {}

    def local(self, shared: Factors, d_out: int, d_in: int) -> Factors:
        """Return one layer's view of the shared tensors, by the names that ``update`` uses."""
        return shared

    def complete(
        self, factors: Factors, start: Factors, host: Host, rank: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return starting values of the layer's tensors that an init does not give, by name."""
        return {}

    def dense(self, factors: Factors, start: Factors, host: Host) -> Tensor:
        """Return the scaled dense update (d_out, d_in), float32 or wider: the oracle for everything else."""
        raise UsageError(f"{self.name!r} has no dense update: {self.not_merged}.")

    def plain(self, factors: Factors, start: Factors, host: Host) -> tuple[Tensor, Tensor] | None:
        """Return (A (k, d_in), B (d_out, k)) with ``B A`` exactly the scaled update, or None when there are none.

        Exporting takes these where they are given, and the SVD of :meth:`dense` (with its error) where not.
        """
        return None

    def dense_bias(self, factors: Factors, start: Factors, host: Host) -> Tensor | None:
        """Return the dense update (d_out,) of the bias, None when the bias keeps its value."""
        return None


def check_whole(choice: Choice, **options: int) -> None:
    """Refuse options that are not whole numbers of at least 1.

    Raises:
        UsageError: naming the option and the value found.
    """
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"{name} of {choice.name!r} must be a whole number of at least 1, found {value!r}.")


def check_divides(choice: Choice, option: str, size: int, module: str, **sides: int) -> None:
    """Refuse a layer whose ``sides`` (d_in=..., d_out=...) the option's value does not divide.

    Raises:
        UsageError: naming the module, the side and the option.
    """
    for side, length in sides.items():
        if length % size:
            raise UsageError(
                f"{choice.name!r} needs {option} to divide {side}, but {option} is {size} and {module} has {side} "
                f"{length}; use a {option} that divides it, or another placement."
            )


@dataclass(frozen=True)
class Delta(Parametrization):
    """An update ``s * delta(factors)`` of the weight; :class:`Dense` where no thin form is faster."""

    kind: ClassVar[Literal["delta"]] = "delta"

    @abc.abstractmethod
    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """Return the unscaled update applied to ``x`` (..., d_in) as (..., d_out), in the dtype of ``x``."""

    @abc.abstractmethod
    def delta(self, factors: Factors, start: Factors) -> Tensor:
        """Return the unscaled dense update (d_out, d_in), float32 or wider."""

    @abc.abstractmethod
    def formula(self, scale: str, edits_base: bool) -> str:
        """Return ``s * delta`` as text, with ``scale`` put in."""

    def weight_formula(self, scale: str, edits_base: bool) -> str:
        """Return the adapted weight as text."""
        return f"W0 + {self.formula(scale, edits_base)}"

    def update(self, x: Tensor, factors: Factors, start: Factors, drop: Drop, host: Host) -> Tensor:
        """Return what the adapter adds to the layer's output for ``x``, scaled."""
        update = self.apply(x, factors, start, drop)
        return update if host.scaling == 1 else host.scaling * update

    def dense(self, factors: Factors, start: Factors, host: Host) -> Tensor:
        """Return ``s * delta``."""
        return host.scaling * self.delta(factors, start)


@dataclass(frozen=True)
class Dense(Delta):
    """A delta of its own for which the input meets the dense matrix: no thin form is cheaper."""

    def apply(self, x: Tensor, factors: Factors, start: Factors, drop: Drop) -> Tensor:
        """One product with the dense update, which is rounded to the compute dtype once."""
        return project(drop(x), self.delta(factors, start))
