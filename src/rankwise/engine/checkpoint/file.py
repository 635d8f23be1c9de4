"""A run's state on disk: one safetensors file, replaced atomically; resuming from it changes no bit.

Holds the trained tensors (and merged or private ones), Adam's moments and step count, the dropout stream, the events'
streams and memory, the best snapshot so far and the run's own record (curve, losses). The order of examples needs
nothing: it is a function of the step.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rankwise.digests import DamagedError, check_file
from rankwise.engine.trainees import Trainee
from rankwise.tensor_files import write_tensors

CHECKPOINT = "checkpoint.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")
_STATE = "optimizer/"
_KINDS = ("parameter", "step", *_MOMENTS, _STATE[:-1])  # what a key of a parameter begins with


def save_state(
    path: Path,
    trainee: Trainee,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor],
    events: dict[str, Tensor],
    record: dict[str, Any],
) -> None:
    """Write everything needed to go on; ``record`` must be JSON (it holds the step)."""
    tensors: dict[str, Tensor] = {f"best/{name}": value for name, value in best.items()}
    tensors |= {f"event/{name}": value for name, value in events.items()}
    tensors |= {f"extra/{name}": value for name, value in trainee.extra().items()}
    for name, p in trainee.parameters.items():
        tensors[f"parameter/{name}"] = p.detach()
        state = optimizer.state.get(p, {})
        for moment in _MOMENTS:
            if moment in state:
                tensors[f"{moment}/{name}"] = state[moment]
        for key in sorted(state.keys() - {*_MOMENTS, "step"}):  # of a rule of its own
            tensors[f"{_STATE}{key}/{name}"] = state[key]
        if "step" in state:
            tensors[f"step/{name}"] = torch.as_tensor(state["step"], dtype=torch.float32).reshape(1)
    if trainee.generator is not None:
        tensors["dropout"] = trainee.generator.get_state()
    write_tensors(path, {k: v.contiguous() for k, v in tensors.items()}, {"record": json.dumps(record)})


def checkpoint_step(path: Path) -> int | None:
    """Return the step a checkpoint continues from, None when there is no usable one."""
    try:
        return int(_read(path)[1]["step"])
    except (FileNotFoundError, DamagedError):
        return None


def load_state(
    path: Path, trainee: Trainee, optimizer: torch.optim.Optimizer, *, needs_best: bool = False
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]] | None:
    """Restore ``trainee`` and ``optimizer``; return (best, events, record), or None without a file to go on from.

    None too for a file without the best snapshot, when the run now needs it.

    Raises:
        DamagedError: the file is not what was written, or is another run's; nothing was restored.
    """
    try:
        tensors, record = _read(path)
    except FileNotFoundError:
        return None
    names = trainee.parameters
    best = _under("best/", tensors)
    _check_places(tensors, best, trainee, optimizer)
    if needs_best and record["result"]["best_step"] is not None and not best:
        return None
    trainee.restore(_under("parameter/", tensors) | _under("extra/", tensors))
    for name, p in names.items():
        if f"step/{name}" in tensors:
            keys = (f"{moment}/{name}" for moment in _MOMENTS)
            moments = {key.partition("/")[0]: tensors[key].to(p.device) for key in keys if key in tensors}
            optimizer.state[p] = {"step": tensors[f"step/{name}"].reshape(()), **moments}
    for key, value in _under(_STATE, tensors).items():
        kind, _, name = key.partition("/")
        optimizer.state[names[name]][kind] = value.to(names[name].device)
    if trainee.generator is not None and "dropout" in tensors:
        trainee.generator.set_state(tensors["dropout"])
    return best, _under("event/", tensors), record


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what :func:`save_state` wrote; a file of an earlier rankwise, without a digest, is taken if it agrees.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: it is not what was written, or its record belongs to other steps.
    """
    try:
        check_file(path)
        with safe_open(path, framework="pt") as file:
            record = json.loads(file.metadata()["record"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        if type(record["step"]) is not int or record["step"] != len(record["result"]["losses"]):
            raise DamagedError(f"its record says step {record['step']!r} and has the losses of other steps")
    except FileNotFoundError:
        raise
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        raise DamagedError("it cannot be read") from None
    return tensors, record


def _check_places(
    tensors: dict[str, Tensor], best: dict[str, Tensor], trainee: Trainee, optimizer: torch.optim.Optimizer
) -> None:
    """Raise unless every tensor has its place in this run, and every parameter its tensors."""
    shapes = {name: p.shape for name, p in trainee.parameters.items()}
    found: dict[str, dict[str, torch.Size]] = {kind: {} for kind in (*_KINDS, "best")}
    for key, value in tensors.items():
        kind, _, name = key.partition("/")
        own = name.partition("/")[2] if kind == _STATE[:-1] else name
        if kind in _KINDS and own not in shapes:
            raise DamagedError(f"{key} belongs to no parameter of this run")
        if kind in found:
            found[kind][own] = value.shape
        elif kind not in ("event", "extra", "dropout"):
            raise DamagedError(f"{key} has no place in a checkpoint")
    if found["parameter"] != shapes or (best and not shapes.items() <= found["best"].items()):
        raise DamagedError("its tensors are not those of this run")
    if isinstance(optimizer, torch.optim.AdamW):
        moved = {name: shapes[name] for name in found["step"]}
        if any(found[moment] != moved for moment in _MOMENTS):
            raise DamagedError("the optimizer's moments are not those of this run")


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
