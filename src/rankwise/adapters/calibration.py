"""What a data-driven init reads off a few batches: moments of every layer's inputs, or gradients of its weight.

Batches stream: memory does not grow with them. Layers that read the same tensor one after another (query, key and
value; gate and up) share one moment, so inputs take 4 d_in^2 bytes for each tensor read, and gradients 4 d_in d_out for
each layer, on the CPU (twice that in float64) and all at once. That is the limit: a down projection of d_in 11,008
takes 485 MB, 32 layers of them 15 GB; where that does not fit, leave such layers out of the placement. Sums run in the
order of the batches, so the same batches give the same bits. The model is left as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rankwise.adapters import orientation
from rankwise.errors import UsageError

Batch = Mapping[str, Any] | Tensor | Callable[[nn.Module], Any]
"""Keyword arguments of the model, its one argument, or a function of the model (which returns the loss, for
gradients). With ``attention_mask`` among the arguments, padding is left out; with ``labels``, the model gives the loss.
"""


@dataclass
class Statistics:
    """Sums over the data of one layer, in the working dtype (float32 or wider), on the CPU.

    Attributes:
        count: rows seen (batches, for gradients).
        total: sum of the input rows, (d_in,).
        moment: sum of x x^T over the input rows, (d_in, d_in).
        gradient: sum over batches of the gradient of the weight, (d_out, d_in).
    """

    count: int = 0
    total: Tensor | None = None
    moment: Tensor | None = None
    gradient: Tensor | None = None

    def second_moment(self) -> Tensor:
        """Return the sum of x x^T."""
        assert self.moment is not None  # collected with what="inputs"
        return self.moment

    def covariance(self) -> Tensor:
        """Return the covariance of the inputs (d_in, d_in), of their mean."""
        assert self.moment is not None  # collected with what="inputs"
        assert self.total is not None
        mean = self.total / self.count
        return self.moment / self.count - torch.outer(mean, mean)

    def mean_gradient(self) -> Tensor:
        """Return the mean gradient (d_out, d_in)."""
        assert self.gradient is not None  # collected with what="gradients"
        return self.gradient / self.count


def collect(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    batches: Iterable[Batch],
    what: Literal["inputs", "gradients"],
    *,
    normalizes: bool = False,
) -> dict[str, Statistics]:
    """Run the batches through ``model`` and return the statistics of ``modules``, by dotted name.

    Args:
        normalizes: divide a layer's inputs by their largest magnitude in each batch.

    Raises:
        UsageError: no batch, a batch without a loss where gradients are asked for, or a layer that no batch reached.
    """
    found = {path: Statistics() for path in modules}
    modes = {module: module.training for module in model.modules()}
    flags = {p: p.requires_grad for p in model.parameters()}
    model.eval()
    try:
        run = _gradients if what == "gradients" else _inputs
        batch_count = run(model, modules, batches, found, normalizes)
    finally:
        for module, training in modes.items():
            module.training = training
        for p, flag in flags.items():
            p.requires_grad_(flag)
    if not batch_count:
        raise UsageError("data holds no batch; an init that looks at data needs at least one.")
    for path, statistics in found.items():
        if not statistics.count:
            raise UsageError(f"no batch of data reached {path}; give others, or leave it out of the placement.")
    return found


class _Shared:
    """Sums over inputs, one for all layers that have read the same tensors in every batch so far.

    What a tensor adds is held back until another one is read: if by then every layer of the group has read it, it is
    added for all of them; else those that have leave the group with a copy. So each layer has the bits of its own sums.
    """

    def __init__(self, found: dict[str, Statistics]) -> None:
        self.found = found
        together = Statistics()
        for path in found:
            found[path] = together
        self._read: tuple[Tensor, int] | None = None
        self._more = Statistics()
        self._seen: list[str] = []

    def read(self, path: str, x: Tensor, entered: Tensor, sums: Callable[[Tensor], Statistics]) -> None:
        """Take in that a layer reads ``x``, of which it multiplies the rows ``entered``."""
        again = entered is x and self._read is not None and self._read[0] is x and self._read[1] == x._version
        if again and path not in self._seen and self.found[path] is self.found[self._seen[0]]:
            self._seen.append(path)
            return
        self.settle()
        # Only of a layer that multiplies its input as it is can another one be told to read the same.
        self._read = (x, x._version) if entered is x else None
        self._more, self._seen = sums(entered.detach()), [path]

    def settle(self) -> None:
        """Add what was held back."""
        if self._seen:
            old = self.found[self._seen[0]]
            if any(own is old for path, own in self.found.items() if path not in self._seen):
                old = Statistics(old.count, *(None if t is None else t.clone() for t in (old.total, old.moment)))
                self.found.update(dict.fromkeys(self._seen, old))
            more = self._more
            assert more.total is not None
            assert more.moment is not None
            old.count += more.count
            old.total = more.total if old.total is None else old.total.add_(more.total)
            old.moment = more.moment if old.moment is None else old.moment.add_(more.moment)
        self._read, self._more, self._seen = None, Statistics(), []


def _inputs(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    batches: Iterable[Batch],
    found: dict[str, Statistics],
    normalizes: bool,
) -> int:
    mask: Tensor | None = None
    shared = _Shared(found)

    def sums(rows: Tensor) -> Statistics:
        if mask is not None and rows.shape[:2] == mask.shape:
            rows = rows[mask.bool()]
        rows = _wide(rows.reshape(-1, rows.shape[-1]))
        if normalizes:
            rows = rows / rows.abs().max().clamp_min(torch.finfo(rows.dtype).tiny)
        return Statistics(len(rows), rows.sum(0), rows.T @ rows)

    def watch(path: str, module: nn.Module) -> Callable[[nn.Module, Any], None]:
        kind = orientation.host(module)
        return lambda _, inputs: shared.read(path, inputs[0], kind.enter(module, inputs[0]), sums)

    hooks = [module.register_forward_pre_hook(watch(path, module)) for path, module in modules.items()]
    seen = 0
    try:
        with torch.no_grad():
            for batch in batches:
                mask = batch.get("attention_mask") if isinstance(batch, Mapping) else None
                _run(model, batch)
                shared.settle()
                seen += 1
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _gradients(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    batches: Iterable[Batch],
    found: dict[str, Statistics],
    normalizes: bool,
) -> int:
    weights: dict[str, Any] = {path: module.weight for path, module in modules.items()}
    for p in model.parameters():
        p.requires_grad_(False)
    for weight in weights.values():
        weight.requires_grad_(True)
    seen = 0
    for batch in batches:
        result = _run(model, batch)
        loss = result if isinstance(result, Tensor) else getattr(result, "loss", None)
        if loss is None or loss.dim():
            raise UsageError(
                "an init that needs gradients needs a loss: give batches with labels, or functions of the model that "
                "return the loss."
            )
        with torch.enable_grad():
            gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        for (path, module), gradient in zip(modules.items(), gradients, strict=True):
            if gradient is not None:
                own = found[path]
                own.count += 1
                own.gradient = _added(own.gradient, _wide(orientation.host(module).matrix(gradient)))
        seen += 1
    return seen


def _run(model: nn.Module, batch: Batch) -> Any:
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(batch) if isinstance(batch, Tensor) else batch(model)


def _wide(x: Tensor) -> Tensor:
    return x.to(device="cpu", dtype=torch.promote_types(x.dtype, torch.float32))


def _added(total: Tensor | None, more: Tensor) -> Tensor:
    return more.clone() if total is None else total.add_(more)
