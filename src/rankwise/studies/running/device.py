"""Which device a study runs on. CUDA and MPS paths are guarded and not measured by us."""

from __future__ import annotations


def pick_device() -> str:
    """Return ``cuda`` or ``mps`` when there is one, else ``cpu``."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
