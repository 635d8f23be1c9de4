"""Turns a module into an adapted layer and back: its class changes, its tensors do not."""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from rankwise.adapters.experts import part_of
from rankwise.adapters.layers import AdaptedLayer

_classes: dict[type[nn.Module], type[nn.Module]] = {}


def _adapted_class(module: nn.Module) -> type[nn.Module]:
    original = type(module)
    if original not in _classes:
        body = {"__module__": __name__}
        _classes[original] = type(f"Adapted{original.__name__}", (part_of(module), original), body)
    return _classes[original]


def _no_hook(module: nn.Module, inputs: object) -> None:
    """Do nothing; see :func:`adapt`."""


def adapt(module: nn.Module) -> AdaptedLayer:
    """Turn ``module`` into an adapted layer in place (its class changes, its tensors do not)."""
    if not isinstance(module, AdaptedLayer):
        module.__class__ = _adapted_class(module)
        layer = cast(AdaptedLayer, module)
        layer.adapters = nn.ModuleDict()
        layer.enabled, layer.merged, layer.routes, layer.segments, layer.stored = [], [], None, None, None
        # In eval, torch's TransformerEncoderLayer reads our weight without calling us, unless it finds a hook.
        layer.unfused = layer.register_forward_pre_hook(_no_hook)
    return cast(AdaptedLayer, module)


def restore(layer: AdaptedLayer) -> nn.Module:
    """Turn an adapted layer without adapters back into what it was."""
    layer.unfused.remove()
    if layer.stored is not None:
        layer.register_parameter("weight", layer.stored.original)
    for attribute in ("adapters", "enabled", "merged", "routes", "segments", "unfused", "stored"):
        delattr(layer, attribute)
    # (Adapted<Original>, the mixins, <Original>, ...)
    original: Any = next(c for c in type(layer).__mro__[1:] if not c.__dict__.get("_rankwise_mixin"))
    layer.__class__ = original
    return layer
