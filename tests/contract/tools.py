"""What several checks need: moving factors, training a little, fingerprints of the base."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from rankwise import adapters
from rankwise.adapters import Adapter, Handle

from .models import MODELS, Tiny, logits_of, outputs
from .table import ROWS, Row

TIGHT = {"rtol": 1e-10, "atol": 1e-10}

every_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
every_model = pytest.mark.parametrize("tiny", MODELS, ids=[tiny.name for tiny in MODELS])


def attach(model: nn.Module, adapter: Adapter, **options: Any) -> Handle:
    """``rankwise.attach``, with data where the init looks at data: the same for the same shape of model."""
    if adapter.init.needs_data:
        options["data"] = batches(model)
    return adapters.attach(model, adapter, **options)


def batches(model: nn.Module) -> list[Any]:
    """Two batches: ids with labels for a language model, else functions that return a loss."""
    stream = torch.Generator().manual_seed(7)
    if hasattr(model, "config"):
        ids = torch.randint(32, (2, 3, 11), generator=stream)
        return [{"input_ids": i, "labels": i} for i in ids]
    first = next(m for m in model.modules() if isinstance(m, nn.Linear))
    rows = torch.randn(2, 40, first.in_features, generator=stream, dtype=torch.float64).to(first.weight.dtype)
    return [lambda model, x=x: model(x).square().mean() for x in rows]


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, **TIGHT)


def move(handle: Handle, seed: int = 0, size: float = 0.1) -> None:
    """Put the factors where training might have brought them: no factor zero, none at its start."""
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in handle.trainable().values():
            parameter.add_(size * torch.randn(parameter.shape, generator=stream, dtype=parameter.dtype))


def train(model: nn.Module, tiny: Tiny, handle: Handle, steps: int = 3) -> None:
    """A few steps of AdamW, with weight decay, on the handle's trainables."""
    optimizer = torch.optim.AdamW(handle.trainable().values(), lr=1e-2)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model, tiny).backward()
        optimizer.step()
    optimizer.zero_grad()
    model.eval()


def files_come_back(tiny: Tiny, adapter: Adapter, folder: Path) -> None:
    """Trained, saved and loaded on a fresh base it has the same bits, and the same after training goes on."""
    model, fresh = tiny.make(), tiny.make()
    handle = attach(model, adapter, seed=3)
    train(model, tiny, handle)
    loaded = adapters.load(fresh, adapters.save(handle, folder))
    assert loaded.adapter == adapter
    assert torch.equal(run(fresh, tiny), run(model, tiny))
    train(model, tiny, handle)
    train(fresh, tiny, loaded)
    assert torch.equal(run(fresh, tiny), run(model, tiny))


def nothing_else_trains(model: nn.Module, tiny: Tiny, handle: Handle) -> None:
    """A backward pass gives gradients to the adapter's tensors, each of them, and to no other."""
    loss(model, tiny).backward()
    ours = {id(p) for p in handle.trainable().values()}
    assert all((p.grad is not None) == (id(p) in ours) for p in model.parameters())


def loss(model: nn.Module, tiny: Tiny) -> Tensor:
    """Some smooth function of all outputs."""
    return outputs(model, tiny.inputs).square().mean()


def run(model: nn.Module, tiny: Tiny) -> Tensor:
    with torch.no_grad():
        return outputs(model, tiny.inputs)


def with_weights(base: nn.Module, weights: dict[str, Tensor], tiny: Tiny) -> Tensor:
    """Outputs of the plain base with some weights replaced."""
    return logits_of(functional_call(base, weights, (tiny.inputs,)))


def base_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The state dict without the adapters' part, which must keep the base's own keys."""
    return {key: value for key, value in model.state_dict().items() if "adapters" not in key.split(".")}


def base_hash(model: nn.Module) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of the base's tensors."""
    digest = hashlib.sha256()
    for key, value in base_tensors(model).items():
        digest.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def as_stored(module: nn.Module, W: Tensor) -> Tensor:
    """(d_out, d_in) in the layout of ``module``, written apart from rankwise's own."""
    return W if isinstance(module, nn.Linear) else W.T


def dense_weights(base: nn.Module, row: Row, factors: dict[str, Tensor], handle: Handle) -> dict[str, Tensor]:
    """``{"<module>.weight": W0 + delta}`` by the row's oracle, and biases that move; differentiable in ``factors``.

    Frozen and shared factors are read off the handle.
    """
    weights = {}
    common = {name.removeprefix("*."): f for name, f in factors.items() if name.startswith("*.")}
    for path in handle.slots:
        module = base.get_submodule(path)
        W0 = as_stored(module, module.weight.detach())  # a transposition is its own inverse
        slot = handle.slots[path]
        own = {name: f.detach() for name, f in slot.factors.items()} | {f"{n}0": f for n, f in slot.start.items()}
        if common:
            everything = {**{n: f.detach() for n, f in handle.shared.items()}, **common}
            own |= slot.parametrization.local(everything, *W0.shape)
        own |= {name.removeprefix(f"{path}."): f for name, f in factors.items() if name.startswith(f"{path}.")}
        delta = row.oracle(W0, own)
        weights[f"{path}.weight"] = as_stored(module, W0 + delta)
        if row.bias is not None and module.bias is not None:
            bias = module.bias.detach()
            weights[f"{path}.bias"] = bias + row.bias(bias, own)
    return weights
