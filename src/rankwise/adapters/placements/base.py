"""The contract of a placement, and what counts as a linear module."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from rankwise.adapters.axis import Choice
from rankwise.adapters.orientation import is_linear
from rankwise.errors import UsageError
from rankwise.models import read_only_layers


def linear_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return every linear module but the output head, by dotted name, in the model's order."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    return {name: m for name, m in model.named_modules() if name and is_linear(m) and m is not head}


@dataclass(frozen=True)
class Placement(Choice, abc.ABC):
    """Selects modules by name.

    Attributes:
        named: a person has named the modules, so that none of them may be left out.
    """

    named: ClassVar[bool] = False

    @abc.abstractmethod
    def matches(self, names: list[str]) -> list[str]:
        """Return those of ``names`` (all linear modules) to adapt, in the same order."""

    def candidates(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return the modules this placement may choose from."""
        return linear_modules(model)

    def select(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return the modules of ``model`` to adapt, by dotted name.

        Layers that the model reads but never calls are left out, for an adapter there would never act.

        Raises:
            UsageError: nothing matches (the message lists the kinds of module there are), or only such layers do, or
                one of those was named.
        """
        modules = self.candidates(model)
        names = self.matches(list(modules))
        if not names:
            kinds = sorted({name.rsplit(".", 1)[-1] for name in modules})
            raise UsageError(
                f"placement {self.describe()} matches no linear module of this {type(model).__name__}; "
                f"it has {', '.join(kinds) or 'none'}. Use placement 'all-linear' or a regex over dotted names."
            )
        idle = read_only_layers(model)
        called = [name for name in names if name not in idle]
        if not called or (self.named and len(called) < len(names)):
            first = next(name for name in names if name in idle)
            raise UsageError(
                f"placement {self.describe()} takes {first}, which this {type(model).__name__} reads but never calls: "
                "an adapter there would never act or train; choose other layers."
            )
        return {name: modules[name] for name in called}

    def describe(self) -> str:
        """Return a short text for tables and messages."""
        return f"{self.name!r}"
