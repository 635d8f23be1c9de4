"""One case, one function: (setting, folder for TRL's files, quick) -> named numbers."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import torch
from peers import compiled, plain, trl
from setting import Setting, Step, full_spec, lora_spec
from timing import gemm_peak, interleave, peak_memory, ratios

from rankwise.adapters import attach
from rankwise.cost.count import adapter_parameters
from rankwise.data import Encoded
from rankwise.engine import evaluate
from rankwise.engine.batches import collate
from rankwise.methods import lora

GRID = [{"micro_batch": m, "sort": s} for m in (2, 4, 8) for s in (False, True)]
_best: dict[str, Any] = {}


def tuned(setting: Setting, folder: str) -> dict[str, Any]:
    """Return the fastest of GRID for LoRA r = 64 (checkpointing off, bf16 weights), found once and printed.

    TRL's padding-free collation needs flash attention, which has no CPU form.
    """
    if not _best:
        seconds = {}
        for choice in GRID:
            step, _ = trl(setting, lora_spec(steps=2), folder, choice)
            step()
            started = time.perf_counter()
            step()
            seconds[str(choice)] = time.perf_counter() - started
            print(f"T {choice}: {seconds[str(choice)]:.2f} s", flush=True)
        _best.update(choice=min(GRID, key=lambda c: seconds[str(c)]), grid=seconds)
    return _best


def remember(found: dict[str, Any]) -> None:
    """Take the grid that an earlier process of the same command has measured."""
    _best.update(found)


def training_step(setting: Setting, folder: str, quick: bool) -> dict[str, Any]:
    """LoRA r = 64, 16 examples: D, T, P; C and R too unless quick. With GEMM peak, floor and MFU."""
    rounds = 2 if quick else 4
    spec = lora_spec(steps=rounds + 1)
    best = tuned(setting, folder)
    mine, run = setting.ours(spec)
    steps: dict[str, Step] = {
        "D": trl(setting, spec, folder)[0],
        "T": trl(setting, spec, folder, best["choice"])[0],
        "P": mine,
    }
    skipped = None
    if not quick:
        steps["R"] = plain(setting, spec)
        try:
            (step := compiled(setting, spec))()
            steps["C"] = step
        except Exception as error:  # no compiler on this machine
            skipped = str(error).splitlines()[0]
    peak = gemm_peak()
    result = ratios(interleave(steps, rounds))
    run.trainee.close()
    flops = sum(setting.flops(spec, s) for s in range(1, rounds + 1)) / rounds
    floor = flops / peak["best"]
    mfu = floor / result["seconds"]["P"]["min"]
    return {
        **result, "tuned": best, "C_skipped": skipped, "gemm_peak": peak, "useful_flops": flops,
        "floor_seconds": floor, "mfu": mfu,
    }  # fmt: skip


def ranks(setting: Setting, folder: str, quick: bool) -> dict[str, Any]:
    """The same at r = 1 and 256: D, T, P."""
    out = {}
    for rank in (1,) if quick else (1, 256):
        spec = lora_spec(rank, steps=3)
        mine, run = setting.ours(spec)
        steps = {
            "D": trl(setting, spec, folder)[0],
            "T": trl(setting, spec, folder, tuned(setting, folder)["choice"])[0],
            "P": mine,
        }
        out[f"rank_{rank}"] = ratios(interleave(steps, 2))
        run.trainee.close()
        steps.clear()
        gc.collect()
    return out


def evaluation(setting: Setting, folder: str, quick: bool) -> dict[str, Any]:
    """Score 16 problems with an r = 64 adapter on: D, T, P; with the floor, and the ratio that the floor would give."""
    spec = lora_spec(steps=1)
    _, run = setting.ours(spec)
    steps = {
        "D": trl(setting, spec, folder)[1],
        "T": trl(setting, spec, folder, tuned(setting, folder)["choice"])[1],
        "P": lambda: evaluate(setting.forward, setting.splits.selection),
    }
    peak = gemm_peak()
    result = ratios(interleave(steps, 1 if quick else 3))
    run.trainee.close()
    flops = setting.evaluation_flops(spec)
    floor, seconds = flops / peak["best"], result["seconds"]
    return {
        **result, "gemm_peak": peak, "useful_flops": flops, "floor_seconds": floor, "mfu": floor / seconds["P"]["min"],
        "floor_over_D": seconds["D"]["min"] / floor,
    }  # fmt: skip


def finding_1(setting: Setting, folder: str, quick: bool) -> dict[str, Any]:
    """A run of the rank question whole: r = 1, 64, 256, each four steps and one evaluation."""
    out: dict[str, float] = dict.fromkeys("DTP", 0.0)
    for rank in (64,) if quick else (1, 64, 256):
        spec = lora_spec(rank, steps=5)
        mine, run = setting.ours(spec)
        peers = {
            "D": trl(setting, spec, folder),
            "T": trl(setting, spec, folder, tuned(setting, folder)["choice"]),
            "P": (mine, lambda: evaluate(setting.forward, setting.splits.selection)),
        }
        for name, (step, score) in peers.items():
            step()  # warm-up
            started = time.perf_counter()
            for _ in range(4):
                step()
            score()
            out[name] += time.perf_counter() - started
        run.trainee.close()
        peers.clear()
        gc.collect()  # a Trainer holds itself, and so its model
    return {"seconds": out, "speedup_over_D": out["D"] / out["P"], "speedup_over_T": out["T"] / out["P"]}


def full(setting: Setting, folder: str, quick: bool) -> dict[str, Any]:
    """Full fine-tuning, fp32 master weights: D (checkpointing on), T (off), P."""
    rounds = 1 if quick else 2
    spec = full_spec(steps=rounds + 1)
    mine, run = setting.ours(spec)
    choice = tuned(setting, folder)["choice"]
    steps = {"D": trl(setting, spec, folder)[0], "T": trl(setting, spec, folder, choice)[0], "P": mine}
    result = ratios(interleave(steps, rounds))
    run.trainee.close()
    return result


def packed(setting: Setting, folder: str, quick: bool) -> dict[str, Any]:
    """K = 1, 2, 4, 8 adapters (r = 16), one 64-token sequence each: one joint pass against K passes."""
    longest = max(setting.splits.train, key=lambda e: len(e.input_ids))
    batch = collate([Encoded(longest.input_ids[:64], tuple(t >= 32 for t in range(64)))])
    out = {}
    for k in (1, 8) if quick else (1, 2, 4, 8):
        names = [f"k{i}" for i in range(k)]
        handles = [attach(setting.base.model, lora(rank=16), seed=i, name=n) for i, n in enumerate(names)]
        parameters = [p for handle in handles for p in handle.trainable().values()]
        parts: list[tuple[str | None, Any]] = [(name, batch) for name in names]

        def clear(parameters: list[torch.nn.Parameter] = parameters) -> None:
            for p in parameters:
                p.grad = None

        def joint(parts: Any = parts, clear: Any = clear) -> None:
            sum(loss.mean() for loss in setting.forward.nll_many(parts)).backward()  # type: ignore[union-attr]
            clear()

        def separate(parts: Any = parts, clear: Any = clear) -> None:
            for part in parts:
                setting.forward.nll_many([part])[0].mean().backward()
            clear()

        out[f"K={k}"] = ratios(interleave({"separate": separate, "joint": joint}, 3 if quick else 8), "joint")
        for handle in handles:
            handle.detach()
    return out


def memory(setting: Setting, folder: str, quick: bool) -> dict[str, Any]:
    """Peak memory of one optimizer step in a fresh process: D, T, P; and of packs of 1 and 8 adapters (r = 16)."""
    choice = tuned(setting, folder)["choice"]
    peers = {"D": ["D"], "T": ["T", str(choice["micro_batch"]), str(int(choice["sort"]))], "P": ["P"]}
    packs = {f"K={k}": ["K", str(k)] for k in (1, 8)}
    peak = {
        name: peak_memory([*setting.arguments, "--alone", *arguments]) for name, arguments in (peers | packs).items()
    }
    # Factors, gradients and Adam's two moments in float32, and the best snapshot.
    own = 5 * 4 * sum(adapter_parameters(setting.base.model, lora(rank=16)).values())
    ratio = (peak["K=8"] - 7 * own) / peak["K=1"]
    return {"peak_bytes": peak, "own_states_bytes": own, "eight_packed_without_seven_own_states_over_one": ratio}


CASES: dict[str, Callable[[Setting, str, bool], dict[str, Any]]] = {
    case.__name__: case for case in (training_step, ranks, evaluation, packed, finding_1, full, memory)
}
QUICK = ("training_step", "evaluation", "packed")
