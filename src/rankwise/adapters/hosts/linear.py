"""``torch.nn.Linear``: weight (d_out, d_in)."""

from __future__ import annotations

from typing import ClassVar

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from rankwise.adapters.hosts.base import HostKind


class Linear(HostKind):
    """A dense linear layer."""

    name: ClassVar[str] = "Linear"
    linear: ClassVar[bool] = True

    def fits(self, module: nn.Module) -> bool:
        """Accept subclasses too, but not the out_proj of ``nn.MultiheadAttention``."""
        # nn.MultiheadAttention reads the weight of its out_proj and never calls it: an adapter there would do nothing.
        return isinstance(module, nn.Linear) and not isinstance(module, NonDynamicallyQuantizableLinear)
