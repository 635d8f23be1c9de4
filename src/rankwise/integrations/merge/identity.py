"""Whether the files are the base that an adapter was trained on, without loading the model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from rankwise.errors import UsageError
from rankwise.integrations.merge.shards import Shards


def check_base(model: Any, shards: Shards, saved: str, name: str, adapter: Path) -> None:
    """Compare ``rankwise.models.fingerprint`` of the files, in bfloat16 and float32 at once, with ``saved``.

    The files are read once, one tensor at a time.

    Raises:
        UsageError: another base, or files that name their tensors in another way.
    """
    dtypes = [torch.bfloat16, torch.float32, torch.float64]
    if not any(entry.kind == "F64" for entry in shards.entries.values()):
        dtypes.pop()
    digests = {dtype: hashlib.sha256() for dtype in dtypes}
    prefix = f"{model.base_model_prefix}."
    for parameter, meta in sorted(model.named_parameters()):
        candidates = (parameter, parameter.removeprefix(prefix), f"{prefix}{parameter}", "lm_head.weight")
        file_name = next((n for n in candidates if n in shards.entries), None)
        if file_name is None or shards.entries[file_name].shape != tuple(meta.shape):
            raise UsageError(f"{shards.folder} has no tensor {parameter} of shape {tuple(meta.shape)}: another base?")
        tensor = shards.read(file_name)
        shape = "x".join(str(size) for size in tensor.shape)
        for dtype, digest in digests.items():
            digest.update(f"{parameter} {shape} {dtype}\n".encode())
            digest.update(tensor.to(dtype).contiguous().reshape(-1).view(torch.uint8).numpy().data)
    found = {dtype: digest.hexdigest() for dtype, digest in digests.items()}
    if saved not in found.values():
        raise UsageError(
            f"{adapter} was trained on another base (fingerprint {saved[:12]}; {name} has "
            f"{found[torch.bfloat16][:12]} in bfloat16, {found[torch.float32][:12]} in float32); nothing was written."
        )
