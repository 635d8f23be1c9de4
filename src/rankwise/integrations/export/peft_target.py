"""PEFT: holds plain LoRA, DoRA, embeddings and whole tensors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

from rankwise.files import write_text
from rankwise.integrations.export.target import Package, Target, peft_config, peft_tensors
from rankwise.tensor_files import write_tensors


class ForPEFT(Target):
    """``peft.PeftModel.from_pretrained``, and everything built on it."""

    name: ClassVar[str] = "peft"
    program: ClassVar[str] = "PEFT"
    decomposed: ClassVar[bool] = True

    def check(self, package: Package) -> None:
        """Refuse nothing: it holds all of it."""

    def write(self, folder: Path, package: Package) -> None:
        """Write adapter_config.json and adapter_model.safetensors."""
        more: dict[str, Any] = {"modules_to_save": list(package.whole_modules)} if package.whole_modules else {}
        write_text(folder / "adapter_config.json", peft_config(package, _targets(package), **more))
        write_tensors(folder / "adapter_model.safetensors", peft_tensors(package))

    def next_step(self, folder: Path) -> str:
        """Return two lines of Python."""
        return f'peft.PeftModel.from_pretrained(base_model, "{folder}")'


def _targets(package: Package) -> list[str] | str:
    """Suffixes when they mean exactly these modules, else one regex of full names."""
    paths = {module.path for module in package.modules}
    suffixes = {path.rpartition(".")[2] for path in paths}
    if paths == {name for name, _ in package.model.named_modules() if name.rpartition(".")[2] in suffixes}:
        return sorted(suffixes)
    return "|".join(re.escape(path) for path in sorted(paths))
