"""Whether the files are the base that an adapter was trained on, without loading the model."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import torch

from rankwise.errors import UsageError
from rankwise.integrations.merge.names import Names
from rankwise.integrations.merge.plan import skeleton
from rankwise.integrations.merge.shards import Shards, kind_of
from rankwise.integrations.merge.ties import Ties


def check_base(model: Any, names: Names, ties: Ties, shards: Shards, saved: str, name: str, adapter: Path) -> None:
    """Compare ``rankwise.models.fingerprint`` of the files, as loaded in every dtype at once, with ``saved``.

    The files are read once, one tensor of the model at a time.

    Raises:
        UsageError: another base.
    """
    kinds = {entry.kind for entry in shards.entries.values()}
    dtypes = [
        torch.bfloat16,
        torch.float32,
        *(dtype for dtype in (torch.float16, torch.float64) if kind_of(dtype) in kinds),
    ]
    digests = {dtype: hashlib.sha256() for dtype in dtypes}
    loaded = {dtype: _dtypes(shards.folder, dtype) for dtype in dtypes}
    for parameter, meta in sorted(model.named_parameters()):
        own = ties.in_files(parameter, names.of)
        part = names.of.get(own)
        if part is None or part.shapes[own] != tuple(meta.shape):
            raise UsageError(names.lacks(parameter, tuple(meta.shape)))
        tensor = names.read(own)
        shape = "x".join(str(size) for size in tensor.shape)
        for dtype, digest in digests.items():
            kept = loaded[dtype][parameter]
            digest.update(f"{parameter} {shape} {kept}\n".encode())
            digest.update(tensor.to(kept).contiguous().reshape(-1).view(torch.uint8).numpy().data)
    found = {dtype: digest.hexdigest() for dtype, digest in digests.items()}
    if saved not in found.values():
        raise UsageError(
            f"{adapter} was trained on another base (fingerprint {saved[:12]}; {name} has "
            f"{found[torch.bfloat16][:12]} in bfloat16, {found[torch.float32][:12]} in float32); nothing was written."
        )


def _dtypes(folder: Path, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """Return the dtype of every parameter when the model is loaded in ``dtype``: some classes keep a few in float32."""
    model = skeleton(folder, dtype)
    kept = [] if dtype not in (torch.bfloat16, torch.float16) else list(model._keep_in_fp32_modules_strict or [])
    if dtype == torch.float16:
        kept += list(model._keep_in_fp32_modules or [])
    wide = re.compile("|".join(pattern.replace("*", ".*") for pattern in kept)) if kept else None
    return {
        name: torch.float32 if wide is not None and wide.search(name) else parameter.dtype
        for name, parameter in model.named_parameters()
    }
