"""What one event sees of its run, and how its changes are recorded; :mod:`rankwise.engine.events.driver` drives it."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rankwise.adapters import Handle, orientation
from rankwise.adapters.events import Context, Event
from rankwise.adapters.parametrizations.frozen_pairs import freeze_update, merged
from rankwise.adapters.slot import Lens
from rankwise.engine.attention.dropped import masking
from rankwise.engine.events.update_size import effective_rank, squared_norm
from rankwise.engine.events.view import Examples, View
from rankwise.engine.json_safe import finite
from rankwise.errors import RunError, UsageError

BEFORE_STEP = ("after_backward", "before_step")  # moments when gradients are there and still count
Record = Callable[[dict[str, Any]], None]


class EventContext(Context):
    """What one event sees of its run."""

    def __init__(
        self,
        event: Event,
        handle: Handle,
        optimizer: Callable[[], Any],
        seed: int,
        view: View,
        record: Record,
    ) -> None:
        self.event, self._handle, self._optimizer, self._record = event, handle, optimizer, record
        self._view, self._private = view, view.private
        self.generator = torch.Generator().manual_seed(seed)
        self.state = {}
        self.step = self.steps = 0
        self.taken = False
        self._moment = ""
        self._hooks: list[RemovableHandle] = []
        self._open = False

    def at(self, moment: str, step: int, *, taken: bool = True) -> None:
        """Set the step and the moment that the event is asked at."""
        self._moment, self.step, self.taken = moment, step, taken

    @property
    def modules(self) -> tuple[str, ...]:
        """The adapted modules."""
        return tuple(self._handle.layers)

    def factors(self, module: str) -> Mapping[str, Tensor]:
        """The trained tensors."""
        # Copies: what is not written through `write` does not happen.
        return {name: p.detach().clone() for name, p in self._handle.slots[module].trained.items()}

    def frozen(self, module: str) -> Mapping[str, Tensor]:
        """Copies of the merged pairs."""
        return {name: value.clone() for name, value in merged(self._handle.slots[module]).items()}

    def gradients(self, module: str) -> Mapping[str, Tensor]:
        """Copies of their gradients."""
        return {name: gradient.clone() for name, gradient in self._gradients(module).items()}

    def write_gradients(self, module: str, values: Mapping[str, Tensor]) -> None:
        """Set gradients."""
        if self._moment not in BEFORE_STEP:
            raise RunError(
                f"event {self.event.name!r} called write_gradients in {self._moment}, where no step follows that would "
                f"see it; call it in {' or '.join(BEFORE_STEP)}."
            )
        own = self._gradients(module)
        if absent := sorted(set(values) - set(own)):
            raise RunError(f"event {self.event.name!r} wrote a gradient of {module}:{absent[0]}, which has none now.")
        with torch.no_grad():
            for name, value in values.items():
                own[name].copy_(value)

    def _gradients(self, module: str) -> dict[str, Tensor]:
        trained = self._handle.slots[module].trained
        return {name: p.grad for name, p in trained.items() if p.grad is not None}

    @property
    def training_examples(self) -> int:
        """Examples of the run."""
        return self._asked().training_examples

    def losses(self) -> Mapping[int, float]:
        """Losses of this step's examples."""
        return dict(self._asked().losses())

    def curvature(self, examples: Sequence[int], *, own_labels: bool) -> dict[str, dict[str, Tensor]]:
        """Summed squared gradients."""
        return self._asked().curvature(examples, own_labels=own_labels)

    def _asked(self) -> Examples:
        if self._view.examples is None:
            raise UsageError(
                f"event {self.event.name!r} reads training examples; use rankwise.train or rankwise chain."
            )
        return self._view.examples

    def scaling(self, module: str) -> float:
        """Return s."""
        return self._handle.slots[module].scaling

    def W0(self, module: str) -> Tensor:
        """Return a copy of the weight under the adapter; an owner's own, from its master."""
        if self._private:
            return self._private.masters[module].clone()
        W = orientation.weight(self._handle.layers[module])
        return W.to(torch.promote_types(W.dtype, torch.float32), copy=True)

    @contextlib.contextmanager
    def firing(self, *, measure: bool = True) -> Iterator[dict[str, Any]]:
        """Open the block in which changes are possible."""
        note: dict[str, Any] = {}
        before = self._measured() if measure else {}
        self._open = True
        try:
            with torch.no_grad():
                yield note
        finally:
            self._open = False
        after = self._measured() if measure else {}
        changes = {f"{key}_{when}": v for when, m in (("before", before), ("after", after)) for key, v in m.items()}
        record = {"event": self.event.name, "step": self.step, "moment": self._moment, **changes, **note}
        self._record(finite(record))

    def _measured(self) -> dict[str, Any]:
        squares = sum(squared_norm(slot) for slot in self._handle.slots.values())
        return {
            "update_norm": math.sqrt(squares),
            "ranks": {path: effective_rank(slot) for path, slot in self._handle.slots.items()},
            "probe_loss": self.probe(),
        }

    def write(self, module: str, values: Mapping[str, Tensor]) -> None:
        """Set factors."""
        self._inside("write")
        for name, value in values.items():
            self._handle.slots[module].trained[name].copy_(value)

    def fresh(self, module: str) -> dict[str, Tensor]:
        """Draw a new start."""
        slot = self._handle.slots[module]
        return self._handle.adapter.init.start(self.W0(module).cpu(), slot.rank, slot.scaling, self.generator)

    def narrow(self, module: str, lens: Lens | None) -> None:
        """Set what passes see."""
        self._inside("narrow")
        self._handle.slots[module].lens = lens

    def drop_backward(self, block: str) -> None:
        """Cut this run's rows of the block's output off the graph."""
        self._inside("drop_backward")
        inside = [layer for name, layer in self._handle.layers.items() if name.startswith(f"{block}.")]

        def cut(module: nn.Module, inputs: Any, output: Any) -> Any:
            y = output[0] if isinstance(output, tuple) else output
            segments = inside[0].segments
            if segments is None or any(s.name == self._handle.name and s.stop is None for s in segments):
                y = y.detach()
            for _, start, stop in (s for s in segments or () if s.name == self._handle.name and s.stop is not None):
                rows = y.reshape(-1, y.shape[-1])
                y = torch.cat([rows[:start], rows[start:stop].detach(), rows[stop:]]).view(y.shape)
            return (y, *output[1:]) if isinstance(output, tuple) else y

        self._hooks.append(self._handle.model.get_submodule(block).register_forward_hook(cut))

    def undrop(self) -> None:
        """End what :meth:`drop_backward` began."""
        while self._hooks:
            self._hooks.pop().remove()

    def gradient_norms(self) -> dict[str, float]:
        """Norms of the last step's gradients, computed again."""
        if self._view.gradients is None:
            raise RunError(f"event {self.event.name!r} needs a step's examples, which only rankwise.train can show.")
        found = {id(p): g for p, g in self._view.gradients()}
        return {
            f"{path}:{name}": 0.0 if (g := found.get(id(p))) is None else float(g.norm())
            for path, slot in self._handle.slots.items()
            for name, p in slot.trained.items()
        }

    def masking(
        self, weigh: Callable[[Tensor], Tensor] | None, cut: Callable[[Tensor], Tensor] | None
    ) -> contextlib.AbstractContextManager[None]:
        """Set what passes drop."""
        return masking(self._handle.model, weigh, cut)

    def weights(self, block: str) -> int:
        """Count the adapted weights inside."""
        shapes = (
            orientation.shape(layer) for name, layer in self._handle.layers.items() if name.startswith(f"{block}.")
        )
        return sum(d_out * d_in for d_out, d_in in shapes)

    def drop_gradient(self, module: str, factor: str) -> None:
        """Let the optimizer pass a factor by."""
        self._inside("drop_gradient")
        self._handle.slots[module].trained[factor].grad = None

    def rank(self, module: str) -> int:
        """Return the factors' rank."""
        return self._handle.slots[module].rank

    def freeze_update(self, module: str) -> None:
        """Freeze s B A beside W0."""
        self._inside("freeze_update")
        freeze_update(self._handle.slots[module])

    def write_base(self, module: str, W: Tensor) -> None:
        """Replace the private weight."""
        self._inside("write_base")
        if self._private is None:
            raise RunError(
                f"event {self.event.name!r} writes the base, which is shared; declare owns_base = True in its class."
            )
        self._private.write(module, W)

    def reset_optimizer(self, module: str, factor: str) -> None:
        """Forget a factor's state."""
        self._inside("reset_optimizer")
        self._optimizer().state.pop(self._handle.slots[module].trained[factor], None)

    def moments(self, module: str, factor: str) -> Mapping[str, Tensor]:
        """Copy the moments."""
        return {name: value.clone() for name, value in self._moments(module, factor).items()}

    def prune_optimizer(self, module: str, factor: str, keep: Tensor, dim: int | None = 0) -> None:
        """Zero moments."""
        self._inside("prune_optimizer")
        for value in self._moments(module, factor).values():
            if dim is None:
                value.mul_(keep.to(value))
                continue
            shape = [-1 if i == dim % value.ndim else 1 for i in range(value.ndim)]
            value.mul_(keep.to(value).reshape(shape))

    def transport_optimizer(self, module: str, factor: str, M: Tensor, dim: int = 0) -> None:
        """Carry moments over."""
        self._inside("transport_optimizer")
        for name, value in self._moments(module, factor).items():
            matrix = M.to(value) if name == "exp_avg" else M.to(value).square()
            value.copy_(torch.tensordot(matrix, value, dims=([1], [dim])).movedim(0, dim))

    def _moments(self, module: str, factor: str) -> dict[str, Tensor]:
        state = self._optimizer().state.get(self._handle.slots[module].trained[factor], {})
        return {name: state[name] for name in ("exp_avg", "exp_avg_sq") if name in state}

    def probe(self) -> float | None:
        """Loss per target on the fixed batch."""
        return self._view.probe() if self._view.probe else None

    def selection(self) -> float | None:
        """NLL of the selection split."""
        return self._view.selection() if self._view.selection else None

    def watch(self, see: Callable[[str, Tensor], None]) -> None:
        """Run the last step's examples with a hook on every adapted layer."""
        if self._view.replay is None:
            raise RunError(f"event {self.event.name!r} looks at a step's inputs, which only rankwise.train can show.")

        def look(module: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            see(module, inputs[0].detach().clone().reshape(-1, inputs[0].shape[-1]))

        layers = self._handle.layers.items()
        hooks = [layer.register_forward_pre_hook(functools.partial(look, name)) for name, layer in layers]
        try:
            self._view.replay()
        finally:
            for hook in hooks:
                hook.remove()

    def _inside(self, doing: str) -> None:
        if not self._open:
            raise RunError(
                f"event {self.event.name!r} called {doing} outside of 'with ctx.firing()', where it would not be "
                "recorded; put the change inside the block."
            )
