"""Seconds per optimizer step: ours beside TRL + PEFT, interleaved on one machine in one run.

    make bench                      # GSM8K-like word problems from our generator
    .venv/bin/python benchmarks/step.py --data ../shared/data/gsm8k --rank 64 --batch 16

Peers: (D) TRL + PEFT with TRL's defaults; (T) the same with checkpointing off and bf16 weights. Ours: (P) the loop that
studies use. Same model, same examples, LoRA on all linear layers, AdamW. Writes benchmarks/results/step.json with the
ratios, the load average and the useful-operations floor. Nothing else may run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from rankwise.cost import adapter_flops, model_shape
from rankwise.data import Limits, Splits, load_data
from rankwise.engine import Forward, TrainSpec
from rankwise.engine.batches import window, workload
from rankwise.engine.train import Run
from rankwise.files import write_json
from rankwise.methods import lora
from rankwise.models import Base, load_base
from rankwise.studies.provenance import provenance

Step = Callable[[], None]


def ours(base: Base, spec: TrainSpec, splits: Splits) -> Step:
    """Our loop."""
    run = Run(base, Forward(base.model), spec, splits)
    return lambda: void(run.train_step())


def trl(base: Base, spec: TrainSpec, splits: Splits, folder: str, *, tuned: bool) -> Step:
    """One optimizer step of SFTTrainer per call, on the examples our spec reads."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    rows = [splits.train[i] for step in range(spec.steps) for i in window(spec, len(splits.train), step)]
    labels = [
        [token if target else -100 for token, target in zip(e.input_ids, e.target_mask, strict=True)] for e in rows
    ]
    data = Dataset.from_dict({"input_ids": [list(e.input_ids) for e in rows], "labels": labels})
    rank = spec.target.rank  # type: ignore[union-attr]
    model = copy.deepcopy(base.model) if tuned else copy.deepcopy(base.model).float()
    arguments = SFTConfig(
        output_dir=folder,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=spec.batch // 4,
        max_steps=spec.steps,
        learning_rate=spec.lr,
        lr_scheduler_type="constant",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        bf16=True,
        max_length=None,
        logging_steps=10**6,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        **({"gradient_checkpointing": False} if tuned else {}),
    )
    config = LoraConfig(r=rank, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")

    class Pause(TrainerCallback):
        """Runs the trainer one optimizer step at a time, in a thread that waits for its turn."""

        def on_step_begin(self, *args: object, **kwargs: object) -> None:
            go.acquire()

        def on_step_end(self, *args: object, **kwargs: object) -> None:
            done.release()

    import threading

    go, done = threading.Semaphore(0), threading.Semaphore(0)
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=data,
        processing_class=base.tokenizer,
        peft_config=config,
        callbacks=[Pause()],
    )
    threading.Thread(target=trainer.train, daemon=True).start()

    def step() -> None:
        go.release()
        done.acquire()

    return step


def void(_: object) -> None:
    """Drop a value."""


def gemm_peak(dtype: torch.dtype) -> float:
    """Best sustained operations per second of a frozen 576 -> 1536 product over row counts 64 to 1024."""
    weight = torch.randn(1536, 576, dtype=dtype)
    best = 0.0
    for rows in (64, 128, 256, 512, 1024):
        x = torch.randn(rows, 576, dtype=dtype)
        for _ in range(3):
            started = time.perf_counter()
            for _ in range(20):
                torch.nn.functional.linear(x, weight)
            best = max(best, 20 * 2 * rows * 576 * 1536 / (time.perf_counter() - started))
    return best


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", default="word-problems:en")
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=4, help="timed rounds after one warm-up")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "step.json")
    args = parser.parse_args()

    torch.set_num_threads(os.cpu_count() or 1)
    base = load_base()
    limits = Limits(train=args.batch * 8, selection=1, test=1)
    splits = load_data(args.data, base.tokenizer, limits=limits, max_length=512)
    spec = TrainSpec(lora(rank=args.rank), lr=1e-3, steps=args.rounds + 1, batch=args.batch, micro_batch=4)
    with tempfile.TemporaryDirectory() as folder:
        steps = {
            "D: TRL + PEFT, defaults": trl(base, spec, splits, folder, tuned=False),
            "T: TRL + PEFT, tuned": trl(base, spec, splits, folder, tuned=True),
            "P: rankwise": ours(base, spec, splits),
        }
        times: dict[str, list[float]] = {name: [] for name in steps}
        load = os.getloadavg()[0]
        for round_ in range(args.rounds + 1):
            for name, step in steps.items():
                started = time.perf_counter()
                step()
                if round_:
                    times[name].append(time.perf_counter() - started)
    shape = model_shape(base.model)
    products = sum(p for p in (args.rank * (o + i) for o, i in shape.linear.values()))
    work = [workload([splits.train[i] for i in window(spec, len(splits.train), s)]) for s in range(1, args.rounds + 1)]
    flops = sum(adapter_flops(shape, w, list(shape.linear), products) for w in work) / args.rounds
    peak = gemm_peak(torch.bfloat16)
    mine = min(times["P: rankwise"])
    report = {
        "seconds": {name: {"min": min(t), "median": sorted(t)[len(t) // 2]} for name, t in times.items()},
        "speedup_over_defaults": min(times["D: TRL + PEFT, defaults"]) / mine,
        "speedup_over_tuned": min(times["T: TRL + PEFT, tuned"]) / mine,
        "floor_seconds": flops / peak,
        "mfu": flops / peak / mine,
        "gemm_peak_gflops": peak / 1e9,
        "load_average_before": load,
        "setup": {"data": args.data, "rank": args.rank, "batch": args.batch, "cpu": provenance("")["cpu"]},
    }
    write_json(args.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
