"""vLLM and SGLang: plain LoRA on linear layers, of one rank and one scale (docs/design/files.md#servers).

vLLM reads r, lora_alpha, target_modules and use_rslora, refuses DoRA, whole tensors and biases, and ignores rank and
alpha patterns. SGLang ignores use_rslora too. Both take a list of suffixes as targets, never a regex.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import torch

from rankwise.adapters import orientation
from rankwise.files import write_text
from rankwise.integrations.export.plain import Plain
from rankwise.integrations.export.target import Package, Target, peft_config, peft_tensors
from rankwise.tensor_files import write_tensors

_VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what --max-lora-rank accepts


class Server(Target):
    """What the two have in common."""

    def check(self, package: Package) -> None:
        """Refuse whole tensors, embeddings and the output head."""
        super().check(package)
        head = package.model.get_output_embeddings()
        for module in package.modules:
            here = package.model.get_submodule(module.path)
            if module.embedding or here is head:
                what = "an embedding" if module.embedding else "the output head"
                self._refuse(f"a low-rank update of {what} ({module.path}) for every model")

    def write(self, folder: Path, package: Package) -> None:
        """Write PEFT's two files."""
        suffixes = sorted({module.path.rpartition(".")[2] for module in package.modules})
        write_text(folder / "adapter_config.json", peft_config(package, suffixes))
        write_tensors(folder / "adapter_model.safetensors", peft_tensors(package))


class ForVLLM(Server):
    """vLLM, which takes rank 16 unless started with another."""

    name: ClassVar[str] = "vllm"
    program: ClassVar[str] = "vLLM"
    most: ClassVar[int | None] = 16
    raise_most: ClassVar[str] = "start vLLM with --max-lora-rank {rank} and export with --max-rank {rank}"
    ignores: ClassVar[str] = (
        "vLLM ignores rank_pattern, alpha_pattern and init_lora_weights: all modules have one rank, the scale is in B"
    )

    def next_step(self, folder: Path) -> str:
        """Return the command that serves it."""
        return f"vllm serve BASE --enable-lora --lora-modules mine={folder}"

    @staticmethod
    def allowed(rank: int) -> int:
        """Return the smallest --max-lora-rank that holds ``rank``."""
        return next((most for most in _VLLM_RANKS if most >= rank), rank)


class ForSGLang(Server):
    """SGLang, which stacks q, k, v and gate, up: missing partners are written as zeros."""

    name: ClassVar[str] = "sglang"
    program: ClassVar[str] = "SGLang"
    ignores: ClassVar[str] = (
        "SGLang ignores use_rslora, which would leave such an adapter sqrt(r) too weak: the scale is in B"
    )

    def write(self, folder: Path, package: Package) -> None:
        """Write PEFT's two files, with zeros for the partners that SGLang stacks."""
        super().write(folder, replace(package, modules=[*package.modules, *_partners(package)]))

    def next_step(self, folder: Path) -> str:
        """Return the command that serves it."""
        return f"python -m sglang.launch_server --model-path BASE --lora-paths mine={folder}"


def _partners(package: Package) -> list[Plain]:
    present = {module.path for module in package.modules}
    like = package.modules[0]
    added = []
    for group in (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")):
        for parent in {path.rpartition(".")[0] for path in present if path.rpartition(".")[2] in group}:
            for name in group:
                path = f"{parent}.{name}"
                if path in present:
                    continue
                d_out, d_in = orientation.shape(package.model.get_submodule(path))
                A = torch.zeros(package.rank, d_in, dtype=like.A.dtype)
                B = torch.zeros(d_out, package.rank, dtype=like.B.dtype)
                added.append(Plain(path, A, B, None, 0.0, embedding=False, conv1d=False))
    return added
