"""Full fine-tuning of some modules only: what a random subspace of their weights is fairly held against."""

from __future__ import annotations

from torch import nn

from rankwise.engine import Forward, FullTrainee


class PartTrainee(FullTrainee):
    """Every weight of the modules ``names`` trains, on a private copy; all else stays as it is."""

    def __init__(self, model: nn.Module, forward: Forward, names: list[str]) -> None:
        super().__init__(model, forward)
        chosen = {f"{name}.weight" for name in names}
        for name, parameter in self._working.items():
            parameter.requires_grad_(name in chosen)
        self._working = {name: p for name, p in self._working.items() if name in chosen}
        self._masters = {name: p for name, p in self._masters.items() if name in chosen}
