"""Tensors that a model has under several names, of which its files need to hold only one."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor


class Ties:
    """The names of every parameter of a model, taken before an adapter is on it.

    A module that a model reaches by several paths is one module: its first name stands for it. Different modules
    that hold the same parameter are tied.

    Attributes:
        groups: the names of tied parameters.
    """

    def __init__(self, model: Any) -> None:
        everywhere: dict[int, list[str]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            everywhere.setdefault(id(parameter), []).append(name)
        self._names = {name: names for names in everywhere.values() for name in names}
        owners: dict[int, list[str]] = {}
        for path, module in model.named_modules():
            for leaf, parameter in module._parameters.items():
                if parameter is not None:
                    owners.setdefault(id(parameter), []).append(f"{path}.{leaf}" if path else leaf)
        self.groups = [names for names in owners.values() if len(names) > 1]

    def in_files(self, name: str, files: Container[str]) -> str:
        """Return the name of the same tensor that is in the files; ``name`` itself when none is."""
        return next((n for n in (name, *self._names.get(name, ())) if n in files), name)

    def changed(self, update: Container[str], whole: Mapping[str, Tensor]) -> list[list[str]]:
        """Return the tied names that are no longer the same after updates and replacements, the changed ones first."""
        found = []
        for group in self.groups:
            some = [name for name in group if name in update or name in whole]
            replaced = [whole[name] for name in group if name in whole and name not in update]
            same = len(replaced) == len(group) and all(torch.equal(replaced[0], other) for other in replaced[1:])
            if some and not same:
                found.append([*some, *(name for name in group if name not in some)])
        return found

    def together(self, names: Iterable[str]) -> bool:
        """Return whether any two of these are one tensor."""
        return any(len(set(group) & set(names)) > 1 for group in self.groups)
