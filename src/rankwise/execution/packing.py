"""The planner: which runs share passes, under a memory budget, and what all of it will cost.

Packing removes no operations, it makes matrix products longer (docs/design/engine.md#what-a-pack-gains): they reach
their full rate at some number of tokens per pass, about 512 on a CPU. Runs whose own passes are that long gain nothing
from neighbors and go one after another; shorter ones share passes until they are that long together. A pack is a queue
with a width: a run that ends makes room for the next. Which runs may share passes at all
is said in ``engine/pack/sharing.py``. No choice made here changes a number of any run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rankwise.adapters import Adapter
from rankwise.cost import Workload, adapter_flops, evaluation_flops, full_flops, model_shape
from rankwise.cost.count import adapter_parameters, adapter_products
from rankwise.cost.memory import caps_logits, pass_bytes, probability_bytes, state_bytes
from rankwise.data import Encoded
from rankwise.engine import TrainSpec
from rankwise.engine.batches import workload
from rankwise.engine.fast.attention import KEPT
from rankwise.engine.pack.sharing import company

FULL_RATE = {"cpu": 512, "cuda": 8192}  # tokens per pass; measured on CPUs, an assumption on GPUs


@dataclass(frozen=True)
class SplitSize:
    """How much a split holds.

    Attributes:
        examples: how many.
        work: tokens, targets and squared lengths of all of them.
        longest: tokens of the longest.
        lengths: tokens of every one.
    """

    examples: int
    work: Workload
    longest: int
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, split: Sequence[Encoded]) -> SplitSize:
        """Measure a split."""
        lengths = tuple(len(e.input_ids) for e in split)
        return cls(len(split), workload(split), max(lengths, default=0), lengths)


@dataclass(frozen=True)
class RunCost:
    """What one run needs.

    Attributes:
        label: names the run.
        company: runs share passes with those of the same company; None: it goes alone.
        pass_tokens: real tokens of a usual pass.
        base_bytes: the frozen base, shared by all runs.
        own_bytes: what the run holds from start to end: trained values, gradients, optimizer, best snapshot.
        pass_bytes: the graph of its longest possible pass; estimated.
        train_flops, evaluation_flops: useful operations of training, and of all its evaluations.
    """

    label: str
    company: Hashable | None
    pass_tokens: float
    base_bytes: int
    own_bytes: int
    pass_bytes: int
    train_flops: int
    evaluation_flops: int

    @property
    def alone(self) -> bool:
        """It cannot share a pass."""
        return self.company is None

    @property
    def bytes(self) -> int:
        """What the run adds to the base: ``PackJob.bytes``."""
        return self.own_bytes + self.pass_bytes


@dataclass(frozen=True)
class Pack:
    """Runs that share passes.

    Attributes:
        runs: in the order in which they start.
        width: most of them at once.
        bytes: estimated peak, the base included.
        fits: whether that is within the budget; a single run that is not is tried all the same.
    """

    runs: tuple[RunCost, ...]
    width: int
    bytes: int
    fits: bool


def run_cost(
    model: nn.Module,
    label: str,
    spec: TrainSpec,
    train: SplitSize,
    evaluated: Iterable[SplitSize] = (),
    *,
    steps: int | None = None,
) -> RunCost:
    """Return the cost of one run on ``model`` (a causal LM; its weights are not read, so a blueprint's will do).

    Args:
        evaluated: the split of every evaluation pass the run will make.
        steps: how many of the spec's steps, when the run is to pause.
    """
    shape = model_shape(model)
    parts = state_bytes(model, spec.target)
    examples = min(spec.micro_batch, spec.batch, train.examples)
    forwards, attention = spec.target.training_pass.forwards, spec.target.training_pass.attention
    tokens = forwards * examples * train.longest
    targets = forwards * math.ceil(examples * train.work.targets / train.examples)
    rows = tokens if caps_logits(model) else targets
    itemsize = next(model.parameters()).element_size()
    graph = pass_bytes(model, shape, spec.target, tokens, rows, itemsize)
    on_cpu = next(model.parameters()).device.type in ("cpu", "meta")
    held = forwards * examples * attention.scores(train.longest, KEPT)
    scores = probability_bytes(model, held, itemsize) if on_cpu else 0
    share = (spec.steps if steps is None else steps) * spec.batch / train.examples
    read = (train.work.tokens, train.work.targets, sum(map(attention.scores, train.lengths)))
    work = Workload(*(round(share * n) for n in read))
    products = 0
    if isinstance(spec.target, Adapter):
        counts = adapter_parameters(model, spec.target)
        products = adapter_products(model, spec.target) * (1 + spec.target.init.edits_base)
        flops = forwards * adapter_flops(shape, work, list(counts), products)
    else:
        flops = full_flops(shape, work)
    best = parts["gradients"]  # a copy of the trained values, as large as they are
    return RunCost(
        label=label,
        company=company(spec.target),
        pass_tokens=examples * train.work.tokens / train.examples,
        base_bytes=parts["frozen base"],
        own_bytes=sum(size for part, size in parts.items() if part != "frozen base") + best,
        pass_bytes=sum(graph.values()) + scores,
        train_flops=flops,
        evaluation_flops=sum(evaluation_flops(shape, split.work, products) for split in evaluated),
    )


def plan_packs(runs: Sequence[RunCost], budget: int | None = None, *, full_rate: int = FULL_RATE["cpu"]) -> list[Pack]:
    """Group ``runs``; a pure function, in the order given.

    Args:
        budget: bytes for everything, the base included; None: no bound.
        full_rate: tokens per pass from which on the device gains nothing from more.
    """
    groups: dict[tuple[int, Hashable], list[RunCost]] = {}
    packs: list[Pack] = []
    for run in runs:
        width = 1 if run.alone else max(1, math.ceil(full_rate / run.pass_tokens))
        if width == 1:
            packs.append(_pack([run], 1, budget))
        else:
            groups.setdefault((width, run.company), []).append(run)
    # Runs of one width have passes of one length: none waits long for another's.
    return [*packs, *(_pack(group, width, budget) for (width, _), group in groups.items())]


def _pack(runs: list[RunCost], width: int, budget: int | None) -> Pack:
    sizes = sorted((run.bytes for run in runs), reverse=True)
    base = max(run.base_bytes for run in runs)
    width = min(width, len(runs))
    while width > 1 and budget is not None and base + sum(sizes[:width]) > budget:
        width -= 1
    peak = base + sum(sizes[:width])
    return Pack(tuple(runs), width, peak, budget is None or peak <= budget)


def describe(
    packs: Sequence[Pack], *, flops_per_second: float | None = None, evaluation_flops_per_second: float | None = None
) -> dict[str, Any]:
    """Return the plan as JSON values, for ``--dry-run`` and the report.

    Args:
        flops_per_second: useful operations of training per second, measured by :func:`~.throughput.throughput`;
            ``cost.calibrate.gemm_rate`` gives the floor instead. None leaves times out.
        evaluation_flops_per_second: the same of evaluation; training's when left out.
    """
    evaluation = evaluation_flops_per_second or flops_per_second
    described = []
    for pack in packs:
        train = sum(run.train_flops for run in pack.runs)
        score = sum(run.evaluation_flops for run in pack.runs)
        seconds = train / flops_per_second + score / evaluation if flops_per_second and evaluation else None
        described.append(
            {
                "runs": [run.label for run in pack.runs],
                "width": pack.width,
                "memory_bytes": pack.bytes,
                "fits": pack.fits,
                "train_flops": train,
                "evaluation_flops": score,
                "seconds": seconds,
            }
        )
    times = [pack["seconds"] for pack in described]
    return {
        "packs": described,
        "runs": sum(len(pack.runs) for pack in packs),
        "memory_bytes": max((pack.bytes for pack in packs), default=0),
        "fits": all(pack.fits for pack in packs),
        "train_flops": sum(pack["train_flops"] for pack in described),
        "evaluation_flops": sum(pack["evaluation_flops"] for pack in described),
        "seconds": sum(times) if all(time is not None for time in times) else None,
    }


def memory_budget(device: str = "cpu") -> int:
    """Return the bytes a study may plan with: 80 % of what the device has (of what is free, on a GPU)."""
    if device.startswith("cuda"):
        return int(0.8 * torch.cuda.mem_get_info()[0])
    return int(0.8 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
