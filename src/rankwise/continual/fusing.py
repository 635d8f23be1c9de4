"""The end of a stream as one adapter: the exact sum of its pairs, or the best one of a smaller rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from rankwise.adapters import Adapter
from rankwise.continual.strategies.base import MERGED
from rankwise.engine import State
from rankwise.engine.trainees import AdapterTrainee
from rankwise.execution.executor import Executor
from rankwise.integrations.export.svd import of_product

Pairs = dict[str, tuple[Tensor, Tensor]]


def pairs(state: State, *, frozen_only: bool = False) -> Pairs:
    """Return all of a state's pairs as one A (k, d_in) and B (d_out, k) per module: their exact sum is B A."""
    found: Pairs = {}
    for name, A in state.tensors.items():
        if name.startswith(MERGED) or not name.endswith(".A"):
            continue
        module = name.removesuffix(".A")
        parts = [] if frozen_only else [(A, state.tensors[f"{module}.B"])]
        if f"{MERGED}{name}" in state.tensors:
            parts.append((state.tensors[f"{MERGED}{name}"], state.tensors[f"{MERGED}{module}.B"]))
        if parts:
            found[module] = (torch.cat([a for a, _ in parts]), torch.cat([b for _, b in parts], dim=1))
    return found


def cut(found: Mapping[str, tuple[Tensor, Tensor]], rank: int) -> tuple[Pairs, float]:
    """Return the best pairs of at most ``rank``, and what is lost: the Frobenius norm over that of the whole update."""
    kept: Pairs = {}
    lost = whole = 0.0
    for module, (A, B) in found.items():
        spectrum = of_product(A, B)
        small, tall = spectrum.factors(min(rank, len(spectrum.S)))
        kept[module] = (small.to(A), tall.to(B))
        lost += float(spectrum.S[rank:].square().sum())
        whole += float(spectrum.S.square().sum())
    return kept, (lost / whole) ** 0.5 if whole else 0.0


def within_budget(start: State | None, budget: int | None, rank: int) -> tuple[State | None, float | None]:
    """Cut the frozen pairs of a state so that they and the pair that trains stay within ``budget``.

    Before a task, because strategies freeze a pair at its border; after it, because events freeze some inside.

    Returns:
        The state, and the relative error of the cut; None where nothing was cut.
    """
    if start is None or budget is None:
        return start, None
    frozen = pairs(start, frozen_only=True)
    if not frozen or max(A.shape[0] for A, _ in frozen.values()) + rank <= budget:
        return start, None
    kept, error = cut(frozen, budget - rank)
    tensors = dict(start.tensors)
    for module, (A, B) in kept.items():
        tensors |= {f"{MERGED}{module}.A": A, f"{MERGED}{module}.B": B}
    return State(tensors, start.events, start.record), error


def save(executor: Executor, adapter: Adapter, state: State, folder: Path, *, rank: int | None = None) -> float:
    """Write a state as plain LoRA that ``rankwise export`` reads; return what a cut to ``rank`` lost (0: exact).

    The sum of the pairs is exact: their ranks are put side by side. The scale is alpha over the rank, as a stream's is.
    """
    found, error = pairs(state), 0.0
    if rank is not None:
        found, error = cut(found, rank)
    width = max(A.shape[0] for A, _ in found.values())
    plain = replace(adapter, rank=width, alpha=adapter.s * width, events=(), penalties=())
    trainee = AdapterTrainee(executor.base.model, executor.forward, plain, 0, "fused")
    try:
        tensors = {}
        for module, (A, B) in found.items():  # a module whose smaller side is below the rank is filled up with zeros
            room = width - A.shape[0]
            tensors[f"{module}.A"] = torch.cat([A, A.new_zeros(room, A.shape[1])])
            tensors[f"{module}.B"] = torch.cat([B, B.new_zeros(B.shape[0], room)], dim=1)
        trainee.restore(tensors)
        trainee.save(folder, executor.base)
    finally:
        trainee.close()
    return error
