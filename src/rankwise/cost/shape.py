"""The sizes of a causal language model that its cost depends on, read from the modules and the config."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from rankwise.adapters import orientation
from rankwise.adapters.placements import linear_modules


@dataclass(frozen=True)
class ModelShape:
    """Counts of multiply-add weights, by part.

    Attributes:
        linear: (d_out, d_in) of every linear module but the output head, by dotted name, in order.
        head: vocabulary size times hidden size.
        attention: sum over layers of heads times head size (the width in which scores are formed).
        parameters: all parameters, tied ones once.
    """

    linear: dict[str, tuple[int, int]]
    head: int
    attention: int
    parameters: int

    @property
    def linear_weights(self) -> int:
        """Weights of all linear modules but the head."""
        return sum(math.prod(shape) for shape in self.linear.values())


def model_shape(model: nn.Module) -> ModelShape:
    """Measure ``model`` (a Hugging Face causal LM, without or with adapters)."""
    config: Any = model.config
    layers = int(config.num_hidden_layers)
    heads = int(config.num_attention_heads)
    head_size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    embedding = model.get_output_embeddings()  # type: ignore[operator]
    own = [p for name, p in model.named_parameters() if ".adapters." not in name]
    return ModelShape(
        linear={name: orientation.shape(module) for name, module in linear_modules(model).items()},
        head=math.prod(orientation.shape(embedding)),
        attention=layers * heads * head_size,
        parameters=sum(p.numel() for p in own),
    )
