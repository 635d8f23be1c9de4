"""The regularizer of BiLoRA's sigmoid gates, Qiang et al., 2024, arXiv 2403.13037, section 3.1: values that are 0 or 1.

    R2(e) = mean over layers and components of  -p ln p - (1 - p) ln(1 - p),        p = sigmoid(e), in nats

At p = 1/2, where the gates start, it is ln 2 and flat: the data decide to which end a gate goes. As a part of the upper
level it acts in the steps that move e; the event drops e's gradient in all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rankwise.adapters.penalties.base import Penalty
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition


@dataclass(frozen=True)
class GateEntropy(Penalty):
    """Pushes gates between 0 and 1 to either end."""

    name: ClassVar[str] = "gate-entropy"

    def check(self, adapter: Composition) -> None:
        """The gates must be sigmoids, and train."""
        form = adapter.parametrization
        if not form.soft_gates:
            raise UsageError(
                f"penalty {self.name!r} needs gates between 0 and 1, parametrization 'pseudo-singular' with values "
                f"'sigmoid'; found {form.name!r}" + (f" with {form.values!r}." if hasattr(form, "values") else ".")
            )
        if "e" not in adapter.trained_shapes("", 8, 8):
            raise UsageError(f"penalty {self.name!r} acts on e, which must train; found {adapter.freezing.describe()}.")

    def value(self, factors: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """Return the mean entropy of the gates; -ln p = softplus(-e), -ln(1 - p) = softplus(e)."""
        e = torch.cat([own["e"] for own in factors.values()])
        p = e.sigmoid()
        return (p * softplus(-e) + (1 - p) * softplus(e)).mean()
