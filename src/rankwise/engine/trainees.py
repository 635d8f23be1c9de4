"""What trains: an adapter on the shared frozen base, or a private copy of the whole model.

Both give the loop the same few things: fp32 parameters by name, a model to run, and a hook after each step.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from rankwise.adapters import Adapter, Full, Handle, attach
from rankwise.cost import ModelShape, Workload, adapter_flops, full_flops
from rankwise.engine.forward import Forward


class Trainee(abc.ABC):
    """The trained part of one run."""

    forward: Forward

    @property
    @abc.abstractmethod
    def parameters(self) -> dict[str, nn.Parameter]:
        """Trained tensors by name, float32 or wider; gradients arrive in their ``.grad``."""

    @abc.abstractmethod
    def flops(self, shape: ModelShape, work: Workload) -> int:
        """Useful operations of training over ``work``."""

    @abc.abstractmethod
    def close(self) -> None:
        """Leave the base as it was found."""

    def after_step(self) -> None:  # noqa: B027 (nothing to do is the common case)
        """Bring the model in line with the parameters after they changed."""

    @property
    def generator(self) -> torch.Generator | None:
        """The random stream used while training, if any."""
        return None

    def snapshot(self) -> dict[str, Tensor]:
        """Return a copy of the parameters."""
        return {name: p.detach().clone() for name, p in self.parameters.items()}

    def restore(self, values: dict[str, Tensor]) -> None:
        """Put a snapshot back, gradients cleared."""
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(values[name])
                p.grad = None
        self.after_step()


class AdapterTrainee(Trainee):
    """An adapter attached to the shared base for the length of the run."""

    def __init__(
        self, model: nn.Module, forward: Forward, adapter: Adapter, seed: int, data: Iterable[Any] = ()
    ) -> None:
        self.forward = forward
        looks = data if adapter.init.needs_data else None
        self.handle: Handle = attach(model, adapter, seed=seed, name="run", data=looks)
        for slot in self.handle.slots.values():
            slot.train()
        self._parameters = self.handle.trainable()

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The factors."""
        return self._parameters

    @property
    def generator(self) -> torch.Generator | None:
        """The adapter's dropout stream."""
        return self.handle.generator

    def flops(self, shape: ModelShape, work: Workload) -> int:
        """Frozen base: no weight gradients; the update of a base-editing init takes twice the thin products."""
        slots = self.handle.slots.values()
        products = sum(p.numel() for slot in slots for p in slot.factors.values())
        return adapter_flops(
            shape, work, list(self.handle.layers), products * (1 + self.handle.adapter.init.edits_base)
        )

    def close(self) -> None:
        """Detach."""
        self.handle.detach()


class FullTrainee(Trainee):
    """A private copy of the model: computes in the base's dtype, trains fp32 master weights.

    With a low-precision base the gradients of each pass are moved into the masters at once, so they accumulate in
    fp32, and after each step the masters are rounded into the copy.
    """

    def __init__(self, model: nn.Module, forward: Forward) -> None:
        self.model: Any = copy.deepcopy(model).requires_grad_(True)
        self.forward = forward.like(self.model)
        self._working = dict(self.model.named_parameters())
        self._masters: dict[str, nn.Parameter] = {}
        for name, p in self._working.items():
            if p.dtype in (torch.float32, torch.float64):
                self._masters[name] = p
            else:
                self._masters[name] = nn.Parameter(p.detach().float())
                p.register_post_accumulate_grad_hook(_move_gradient_to(self._masters[name]))

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The masters."""
        return self._masters

    def flops(self, shape: ModelShape, work: Workload) -> int:
        """Every weight gets a gradient."""
        return full_flops(shape, work)

    def after_step(self) -> None:
        """Round the masters into the working copy."""
        with torch.no_grad():
            for name, p in self._working.items():
                if self._masters[name] is not p:
                    p.copy_(self._masters[name])

    def close(self) -> None:
        """Free the copy."""
        self._working, self._masters = {}, {}
        del self.model


def _move_gradient_to(master: nn.Parameter) -> Any:
    # One buffer for the life of the run: fresh gigabytes every step cost more than the arithmetic on them.
    buffer = torch.empty_like(master)

    def move(p: Tensor) -> None:
        gradient = p.grad
        assert gradient is not None  # called right after accumulation
        if master.grad is None:
            master.grad = buffer.copy_(gradient)
        else:
            master.grad.add_(gradient)
        p.grad = None

    return move


def make_trainee(
    model: nn.Module, forward: Forward, target: Adapter | Full, seed: int, data: Iterable[Any] = ()
) -> Trainee:
    """Attach an adapter, or copy the model for full fine-tuning; ``data`` is for inits that look at it."""
    if isinstance(target, Full):
        return FullTrainee(model, forward)
    return AdapterTrainee(model, forward, target, seed, data)
