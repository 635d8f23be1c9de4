"""What an export target is: limits, a writer, a reader that shares no code with the writer."""

from __future__ import annotations

import abc
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from rankwise.errors import UsageError
from rankwise.integrations.export import loader
from rankwise.integrations.export.plain import Plain


@dataclass(frozen=True, eq=False)
class Package:
    """What a target writes.

    Attributes:
        modules: all of one rank and dtype.
        whole: full-shaped tensors (``modules_to_save``) by the model's own names.
        whole_modules: what ``modules_to_save`` said.
        model: the base's module tree and config.
    """

    modules: Sequence[Plain]
    whole: Mapping[str, Tensor]
    whole_modules: Sequence[str]
    model: Any
    base_model: str

    @property
    def rank(self) -> int:
        """The one rank."""
        return self.modules[0].rank


@dataclass(frozen=True)
class Target(abc.ABC):
    """One program that loads adapters.

    Attributes:
        name: as ``--for`` takes it.
        program: as a person calls it.
        most: largest rank it takes unless told otherwise, None for any.
        raise_most: how a person raises that, with ``{rank}``.
        decomposed: has DoRA's magnitudes.
        carries: reads a tokenizer and a chat template from the adapter's folder.
        ignores: what it would have ignored without an error, and what was done about it.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    most: ClassVar[int | None] = None
    raise_most: ClassVar[str] = ""
    decomposed: ClassVar[bool] = False
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "bfloat16", "float16")
    carries: ClassVar[bool] = True
    ignores: ClassVar[str] = ""

    def check(self, package: Package) -> None:
        """Refuse what the program cannot load.

        Raises:
            UsageError: what, why, and what to do instead.
        """
        if package.whole:
            self._refuse(f"whole tensors ({', '.join(package.whole_modules or package.whole)}; PEFT's modules_to_save)")

    @abc.abstractmethod
    def write(self, folder: Path, package: Package) -> None:
        """Write the files."""

    @abc.abstractmethod
    def next_step(self, folder: Path) -> str:
        """Return the command or line that uses what was written."""

    def read(self, folder: Path, model: nn.Module) -> loader.Read:
        """Read the files back, independently of how they were written."""
        return loader.read_peft(folder, model)

    def _refuse(self, what: str) -> None:
        raise UsageError(
            f"{self.program} cannot load an adapter with {what}; put it into the base with `rankwise merge`, "
            "or export --for peft."
        )


def peft_config(package: Package, targets: list[str] | str, **more: Any) -> str:
    """Return an ``adapter_config.json`` with the scale 1: alpha = r, no pattern, no rsLoRA."""
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": package.base_model,
        "r": package.rank,
        "lora_alpha": package.rank,
        "lora_dropout": 0.0,
        "use_rslora": False,
        "use_dora": any(module.m is not None for module in package.modules),
        "target_modules": targets,
        "bias": "none",
        "fan_in_fan_out": any(module.conv1d for module in package.modules),
        "init_lora_weights": True,
        "inference_mode": True,
        **more,
    }
    return json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def peft_tensors(package: Package) -> dict[str, Tensor]:
    """Return the tensors under PEFT's names."""
    prefix = "base_model.model."
    tensors = {}
    for module in package.modules:
        A, B = ("lora_embedding_A", "lora_embedding_B") if module.embedding else ("lora_A.weight", "lora_B.weight")
        tensors[f"{prefix}{module.path}.{A}"] = module.A
        tensors[f"{prefix}{module.path}.{B}"] = module.B
        if module.m is not None:
            tensors[f"{prefix}{module.path}.lora_magnitude_vector"] = module.m
    adapted = {f"{module.path}.weight": f"{module.path}.base_layer.weight" for module in package.modules}
    return tensors | {f"{prefix}{adapted.get(name, name)}": tensor for name, tensor in package.whole.items()}
