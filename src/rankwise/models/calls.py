"""Layers whose weight a model reads but which it never calls, such as Mamba's ``dt_proj``.

An adapter acts when its layer is called. On these it would never act or train, and merged it would be another model.
An expert that no token was sent to is neither read nor called, so it is not among them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from rankwise.models.quiet import quiet

if TYPE_CHECKING:
    from torch import nn

_KNOWN: dict[tuple[type, int], tuple[Any, frozenset[str]]] = {}  # the config keeps its id from being used again


def read_only_layers(model: nn.Module) -> frozenset[str]:
    """Return the dotted names of layers that one short pass reads the weight of and does not call.

    Empty for what is no Hugging Face model and for models that such a pass fails on. Looked for once a configuration.
    """
    config = getattr(model, "config", None)
    if config is None or not hasattr(model, "get_input_embeddings"):
        return frozenset()
    key = (type(model), id(config))
    if key not in _KNOWN:
        if len(_KNOWN) >= 64:
            _KNOWN.clear()
        _KNOWN[key] = (config, _look(model))
    return _KNOWN[key][1]


def read_only_note(model: nn.Module) -> str:
    """Return a sentence about these layers, empty when there are none."""
    found = read_only_layers(model)
    kinds = ", ".join(sorted({name.rpartition(".")[2] for name in found}))
    return f"Adapters leave out {len(found)} layers that this model reads but never calls: {kinds}." if found else ""


def _look(model: nn.Module) -> frozenset[str]:
    import torch
    from torch.overrides import TorchFunctionMode

    owners: dict[int, list[str]] = defaultdict(list)
    for path, module in model.named_modules(remove_duplicate=False):
        if path:
            for parameter in module.parameters(recurse=False):
                owners[id(parameter)].append(path)
    called: set[str] = set()
    read: set[str] = set()

    class Reading(TorchFunctionMode):
        """Note parameters that an operation takes; asking for a dtype or a device is none."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                for value in (*args, *(kwargs or {}).values()):
                    read.update(owners.get(id(value), ()))
            return result

    modes = [(module, module.training) for module in model.modules()]
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs, path=path: called.add(path))
        for path, module in model.named_modules(remove_duplicate=False)
    ]
    place = next(model.parameters()).device
    try:
        model.eval()  # no dropout, so nothing is drawn
        with quiet(), torch.no_grad(), Reading():
            model(input_ids=torch.zeros(1, 2, dtype=torch.long, device=place), use_cache=False)
    except Exception:  # any model may be given; one that takes other inputs is not looked at
        return frozenset()
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    return frozenset(read - called)
