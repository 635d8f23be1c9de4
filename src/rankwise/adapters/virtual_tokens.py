"""Placeholders in front of a model's input, for the parametrizations that fill them (prompt and prefix tuning).

Hooks on the model itself lengthen ids, attention mask and labels by the placeholders and cut the logits again, so the
caller sees the sequence it gave. They act only while their adapter does. What they cannot lengthen they refuse: given
positions or embeddings, a cache of keys and values, a batch that is mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from rankwise.adapters.parametrizations.virtual import Virtual
from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.layers import AdaptedLayer
    from rankwise.adapters.slot import Slot


class VirtualTokens:
    """The hooks of one adapter; :meth:`remove` takes them off."""

    def __init__(self, model: nn.Module, layers: Mapping[str, AdaptedLayer], name: str) -> None:
        # Of an adapter with several parts, the layers that carry the prompt.
        kinds = {path: cast("Slot", layer.adapters[name]).parametrization for path, layer in layers.items()}
        prompts = {path: kind for path, kind in kinds.items() if isinstance(kind, Virtual)}
        self.layers = {path: layers[path] for path in prompts}
        self.name = name
        self.tokens = next(iter(prompts.values())).tokens
        self.given = 0  # length of the sequences of the pass that is under way
        self._hooks = [
            model.register_forward_pre_hook(self._lengthen, with_kwargs=True),
            model.register_forward_hook(self._cut, always_call=True),
        ]

    def remove(self) -> None:
        """Take the hooks off the model."""
        for hook in self._hooks:
            hook.remove()

    @property
    def acts(self) -> bool:
        """Whether the adapter is switched on in this pass."""
        layer = next(iter(self.layers.values()))
        if layer.routes is not None and self.name in layer.routes.members:
            raise UsageError(f"adapter {self.name!r} is a prompt, which a mixed() batch cannot hold; run it by itself.")
        if layer.segments is not None:
            return any(segment.name == self.name for segment in layer.segments)
        return self.name in layer.enabled

    def _slots(self) -> list[Slot]:
        return [cast("Slot", layer.adapters[self.name]) for layer in self.layers.values()]

    def _lengthen(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if not self.acts:
            return None
        self._check(args, kwargs)
        ids: Tensor = args[0] if args else kwargs["input_ids"]
        front = ids.new_zeros(len(ids), self.tokens)
        more = {"input_ids": (ids, front)}
        if (mask := kwargs.get("attention_mask")) is not None:
            more["attention_mask"] = (mask, mask.new_ones(len(ids), self.tokens))
        if (labels := kwargs.get("labels")) is not None:
            more["labels"] = (labels, labels.new_full((len(ids), self.tokens), -100))
        self.given = ids.shape[1]
        for slot in self._slots():
            slot.virtual = True
        return (), {**kwargs, **{key: torch.cat([before, own], dim=1) for key, (own, before) in more.items()}}

    def _check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        cache = kwargs.get("past_key_values")
        held = 0 if cache is None else cache.get_seq_length()
        wrong = [name for name in ("position_ids", "inputs_embeds") if kwargs.get(name) is not None]
        if len(args) > 1 or wrong or held or (not args and "input_ids" not in kwargs):
            what = wrong[0] if wrong else "a cache" if held else "input that is not input_ids=..."
            raise UsageError(
                f"adapter {self.name!r} puts {self.tokens} virtual tokens in front of the input, which {what} does not "
                "allow for; call the model with input_ids, attention_mask and labels only, without a cache."
            )

    def _cut(self, model: nn.Module, args: Any, output: Any) -> Any:
        slots = self._slots()
        if not any(slot.virtual for slot in slots):
            return None
        for slot in slots:
            slot.virtual = False
        for name in ("logits", "last_hidden_state"):
            found = getattr(output, name, None)
            if isinstance(found, Tensor) and found.shape[1] == self.given + self.tokens:
                output[name] = found[:, self.tokens :]
        return output
