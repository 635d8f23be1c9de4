"""NF4 with double quantization: QLoRA, Dettmers et al., 2023, arXiv 2305.14314, section 3.

Blocks of ``block`` weights share one scale (their largest magnitude); every weight is the nearest of 16 quantiles of
a normal distribution. Double quantization keeps the scales in 8 bits, in blocks of 256: 4 + 8/64 + 32/(64 x 256) =
4.127 bits per weight, against 4.5 without. The arithmetic is bitsandbytes', on the CPU and on CUDA.

Deviations: bitsandbytes knows 16 and 32 bits; a float64 weight goes through float32.

Weights are handed over flat: bitsandbytes 0.50 on the CPU dequantizes a matrix wrongly when its rows are not a whole
number of blocks (an error of 1.4 where the largest possible is 0.4, for 48 x 16 normal numbers in blocks of 64).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rankwise.adapters.four_bits import functional
from rankwise.adapters.storages.base import Codes, Storage
from rankwise.errors import UsageError

_BLOCKS = (64, 128, 256, 512, 1024, 2048, 4096)


class NF4Codes(Codes):
    """Two codes in a byte, with their scales."""

    def __init__(self, packed: Tensor, state: Any, like: Tensor) -> None:
        super().__init__()
        self.register_buffer("packed", packed, persistent=False)
        self.state, self.shape, self.dtype = state, like.shape, like.dtype

    def read(self) -> Tensor:
        """Dequantize."""
        packed: Any = self.packed
        if self.state.absmax.device != packed.device:  # the model was moved
            self.state.to(packed.device)
        W: Tensor = functional().dequantize_4bit(packed, self.state)
        return W.view(self.shape).to(self.dtype)

    def tensors(self) -> dict[str, Tensor]:
        """Codes and scales, by bitsandbytes' names."""
        packed: Any = self.packed
        return {"packed": packed, **self.state.as_dict(packed=True)}


@dataclass(frozen=True)
class NF4(Storage):
    """Four bits per weight in blocks of ``block``; ``double`` stores the scales in eight bits."""

    name: ClassVar[str] = "nf4"
    double: bool = True
    block: int = 64

    def __post_init__(self) -> None:
        if self.block not in _BLOCKS:
            raise UsageError(
                f"block of storage 'nf4' must be one of {', '.join(map(str, _BLOCKS))}, found {self.block!r}."
            )

    def check(self) -> None:
        """Need bitsandbytes."""
        if importlib.util.find_spec("bitsandbytes") is None:
            raise UsageError("storage 'nf4' needs bitsandbytes; install it with: pip install 'rankwise[quant]'.")

    def encode(self, weight: Tensor) -> NF4Codes:
        """Quantize."""
        self.check()
        plain = weight.detach().contiguous().flatten()
        plain = plain.float() if plain.dtype == torch.float64 else plain
        options = {"blocksize": self.block, "compress_statistics": self.double, "quant_type": "nf4"}
        packed, state = functional().quantize_4bit(plain, **options)
        return NF4Codes(packed, state, weight)

    def revive(self, tensors: dict[str, Tensor], like: Tensor) -> NF4Codes:
        """Read codes and scales back."""
        self.check()
        rest = {key: value.to(like.device) for key, value in tensors.items() if key != "packed"}
        state = functional().QuantState.from_dict(rest, device=like.device)
        return NF4Codes(tensors["packed"].to(like.device), state, like)
