"""A base: the frozen model that every adapter of a study is attached to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Base:
    """A loaded base model; two bases are the same when their fingerprints are.

    Attributes:
        model: a causal language model in eval mode, no parameter of which asks for a gradient.
        tokenizer: its fast tokenizer, with a pad token.
        name: as the person gave it; :func:`load_base` of it gives this base again.
        fingerprint: see :func:`fingerprint`.
        notes: sentences a report must show, such as "rounded to 4 bits and back".
        positions: tokens that its table of positions has room for; None where positions are computed, or not asked.
    """

    model: Any
    tokenizer: Any
    name: str
    fingerprint: str
    notes: tuple[str, ...] = ()
    positions: int | None = None

    @property
    def room(self) -> int | None:
        """Tokens that a sequence should have at most: the table's, else what the config states; None: no limit."""
        config = self.model.config.get_text_config() if hasattr(self.model, "config") else None
        stated = (getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len"))
        return self.positions or next((size for size in stated if isinstance(size, int)), None)


def fingerprint(model: torch.nn.Module) -> str:
    """Hash a model: sha256 (hex) over the sorted names, shapes, dtypes and bytes of its parameters.

    Tied parameters count once. The same weights in another dtype are another base. About 1 GB/s.
    """
    import torch

    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        shape = "x".join(str(size) for size in parameter.shape)
        digest.update(f"{name} {shape} {parameter.dtype}\n".encode())
        flat = parameter.detach().to("cpu").contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
