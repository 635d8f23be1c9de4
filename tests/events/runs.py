"""One short run of every method that acts while it trains, and what its events must have done in it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from rankwise import methods
from rankwise.engine import Forward, TrainSpec
from rankwise.engine.run import Run


@dataclass(frozen=True)
class Expected:
    """A run and the steps at which its first event was recorded."""

    spec: TrainSpec
    steps: list[int]


def spec(name: str, steps: int = 8, **options) -> TrainSpec:
    settings = {"lr": 1e-2, "batch": 4, "micro_batch": 2, "eval_steps": (3, 5), "seed": 1}
    return TrainSpec(methods.build(name, **options), steps=steps, **settings)


RUNS = {
    "adalora": Expected(spec("adalora", rank=6, every=2), [2, 4, 6, 7, 8]),
    "relora": Expected(spec("relora", rank=2, merges=3), [2, 4, 6]),
    "relora, moments": Expected(spec("relora", rank=2, merges=3, moments="random"), [2, 4, 6]),
    "cola": Expected(replace(spec("cola", rank=2, links=2), schedule="linear", warmup=1), [4]),
    "xgblora": Expected(spec("xgblora", rank=1, every=3, layers=0.5), [1, 2, 3, 3, 4, 5, 6, 6, 7, 8]),
    "delta_lora": Expected(spec("delta_lora", rank=2, begin=0.25), [3, 4, 5, 6, 7, 8]),
    "dylora": Expected(spec("dylora", rank=4), [1, 2, 3, 4, 5, 6, 7, 8, 8]),
    "dylora, frozen": Expected(spec("dylora", rank=4, frozen=True, dropout=0.1), [1, 2, 3, 4, 5, 6, 7, 8, 8]),
    "prilora": Expected(spec("prilora", rank=4, every=3), [3, 6]),
    "sora": Expected(spec("sora", rank=4, xi=0.1), [1, 2, 3, 4, 5, 6, 7, 8]),
    "roselora": Expected(spec("roselora", rank=4, keep=0.3), [1, 2, 3, 4, 5, 6, 7, 8]),
    "sparse_adapter": Expected(spec("sparse_adapter", rank=4), [2, 3, 4, 5, 6, 7, 8]),
    "lora_drop": Expected(
        spec("lora_drop", rank=2, threshold=0.6, stage=0.25), [2, *(s for s in range(3, 9) for _ in "12")]
    ),
    "dora_dyn": Expected(spec("dora_dyn", rank=6, every=2), [3, 4, 5, 6, 7, 8]),
    "bilora": Expected(spec("bilora", rank=4), [1, 2, 3, 4, 5, 6, 7, 8]),
    "aflora": Expected(spec("aflora", rank=4), [1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8]),
    "dropbp": Expected(
        spec("dropbp", rank=2, calibrate=0.25), [1, 1, 2, 2, 2, *(s for s in range(3, 9) for _ in "12")]
    ),
    "hidden_key": Expected(spec("hidden_key", rank=4), [1, 2, 3, 4, 5, 6, 7, 8]),
    "hidden_key, one pass": Expected(
        spec("hidden_key", rank=4, beta=0.0, position="weights", dropout=0.1), [1, 2, 3, 4, 5, 6, 7, 8]
    ),
    "longlora, groups": Expected(spec("longlora", rank=2, group=32), []),
    "diff_pruning": Expected(spec("diff_pruning", keep=0.01), [1, 2, 3, 4, 4, 5, 6, 7, 8]),
    "galore": Expected(spec("galore", rank=4, every=3), [4, 7]),
    "flora_gc": Expected(spec("flora_gc", rank=4, every=3), [4, 7]),
    "riemannian_lora": Expected(spec("riemannian_lora", rank=4), []),
    "lora_fa, corrected": Expected(spec("lora_fa", rank=4, corrected=True), []),
}


def begin(base, splits, spec: TrainSpec) -> Run:
    """A run to be driven by hand; close its trainee."""
    return Run(base, Forward(base.model), spec, splits)


@functools.cache
def wide_base():
    """The tiny base in float64."""
    import torch

    from rankwise.models import load_base

    return load_base("tiny", dtype=torch.float64)
