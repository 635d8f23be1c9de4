"""What trains: an adapter on the shared frozen base, or a private copy of the whole model.

Both give the loop the same few things: fp32 parameters by name, a model to run, and a hook after each step. Several
adapters train on one base at once, told apart by name; which of them do is said in ``pack/sharing.py``.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rankwise.adapters import Adapter, Full, Handle, attach, save
from rankwise.adapters.parametrizations.frozen_pairs import merged, set_merged
from rankwise.cost import ModelShape, Workload, adapter_flops, full_flops
from rankwise.engine.forward import Forward
from rankwise.engine.pack import sharing
from rankwise.engine.private import PrivateBase
from rankwise.errors import UsageError
from rankwise.models import Base
from rankwise.models.saving import save_model


class Trainee(abc.ABC):
    """The trained part of one run.

    Attributes:
        forward: runs the model it is on.
        name: of its adapter on that model, None where the model itself trains.
        alone: it cannot share a pass with neighbors.
    """

    forward: Forward
    name: str | None = None
    alone: bool = False

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

    @abc.abstractmethod
    def save(self, folder: Path, base: Base) -> None:
        """Write what was trained."""

    def training(self, mode: bool) -> None:  # noqa: B027 (only adapters have dropout)
        """Switch this run's dropout on or off."""

    def extra(self) -> dict[str, Tensor]:
        """Return the tensors besides the parameters that decide what the model computes."""
        return {}

    def set_extra(self, tensors: dict[str, Tensor]) -> None:
        """Put :meth:`extra` back."""
        if tensors:
            raise UsageError(f"a snapshot has {len(tensors)} tensors this run has no place for: {sorted(tensors)[0]}.")

    def after_step(self) -> None:  # noqa: B027 (nothing to do is the common case)
        """Bring the model in line with the parameters after they changed."""

    @property
    def generator(self) -> torch.Generator | None:
        """The random stream used while training, if any."""
        return None

    def snapshot(self) -> dict[str, Tensor]:
        """Return a copy of the parameters and of :meth:`extra`."""
        return {name: p.detach().clone() for name, p in (self.parameters | self.extra()).items()}

    def restore(self, values: dict[str, Tensor]) -> None:
        """Put a snapshot back, gradients cleared."""
        self.set_extra({name: value for name, value in values.items() if name not in self.parameters})
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(values[name])
                p.grad = None
        self.after_step()


class AdapterTrainee(Trainee):
    """An adapter attached to the shared base for the length of the run.

    With an event that owns the base, attached to a private copy instead: the tensors of the base that the adapter does
    not touch are shared, the weights under it are copies with fp32 masters.
    """

    _MERGED: ClassVar[str] = "merged/"

    def __init__(
        self,
        model: nn.Module,
        forward: Forward,
        adapter: Adapter,
        seed: int,
        name: str = "run",
        data: Iterable[Any] = (),
    ) -> None:
        self.private = PrivateBase(model, adapter) if adapter.owns_base else None
        self.alone = sharing.alone(adapter)
        self.forward = forward.like(self.private.model) if self.private else forward
        if adapter.parametrization.kind == "prompt":
            self.forward = forward.whole()
        self.name: str = name
        host = self.private.model if self.private else model
        looks = data if adapter.init.needs_data else None
        with self.forward.only(None):  # an init that looks at data sees the base, whoever trains beside it
            self.handle: Handle = attach(host, adapter, seed=seed, name=name, data=looks)
        self.training(True)
        self._parameters = self.handle.trainable()

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The factors."""
        return self._parameters

    @property
    def generator(self) -> torch.Generator | None:
        """The adapter's dropout stream."""
        return self.handle.generator

    def training(self, mode: bool) -> None:
        """Dropout acts in training mode only."""
        for slot in self.handle.slots.values():
            slot.train(mode)

    def extra(self) -> dict[str, Tensor]:
        """Merged pairs by module, and the private weights."""
        tensors = {
            f"{self._MERGED}{path}.{factor}": value
            for path, slot in self.handle.slots.items()
            for factor, value in merged(slot).items()
        }
        return tensors | (self.private.masters_by_name() if self.private else {})

    def set_extra(self, tensors: dict[str, Tensor]) -> None:
        """Restore merged pairs and private weights."""
        for path, slot in self.handle.slots.items():
            prefix = f"{self._MERGED}{path}."
            own = {key: tensors[prefix + key].clone() for key in ("A", "B") if prefix + key in tensors}
            set_merged(slot, own)
        if self.private:
            self.private.restore(tensors)

    def flops(self, shape: ModelShape, work: Workload) -> int:
        """Frozen base: no weight gradients; the update of a base-editing init takes twice the thin products.

        Frozen and shared factors count wherever they are multiplied with. Merged pairs are not counted: they are frozen
        weights of the base in all but place.
        """
        products = sum(
            slot.parametrization.multiplied({name: tuple(p.shape) for name, p in slot.factors.items()})
            for slot in self.handle.slots.values()
        )
        adapter = self.handle.adapter
        own = products * (1 + adapter.init.edits_base)
        return adapter.training_pass.forwards * adapter_flops(shape, work, list(self.handle.layers), own)

    def save(self, folder: Path, base: Base) -> None:
        """Write the adapter in PEFT layout; an owner of base weights writes the whole model, adapter merged in."""
        if self.private:
            self.private.save(self.handle, folder, base)
        else:
            save(self.handle, folder, base_model=base.name, base_fingerprint=base.fingerprint)

    def close(self) -> None:
        """Detach."""
        if self.handle.layers:
            self.handle.detach()


class FullTrainee(Trainee):
    """A private copy of the model: computes in the base's dtype, trains fp32 master weights.

    With a low-precision base the gradients of each pass are moved into the masters at once, so they accumulate in
    fp32, and after each step the masters are rounded into the copy.
    """

    alone = sharing.alone(Full())

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

    def save(self, folder: Path, base: Base) -> None:
        """Write the model and its tokenizer."""
        save_model(self.model, base.tokenizer, folder)

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
    model: nn.Module, forward: Forward, target: Adapter | Full, seed: int, name: str = "run", data: Iterable[Any] = ()
) -> Trainee:
    """Attach an adapter under ``name`` (``data`` for inits that look at it), or copy the model for full fine-tuning."""
    if isinstance(target, Full):
        return FullTrainee(model, forward)
    return AdapterTrainee(model, forward, target, seed, name, data)
