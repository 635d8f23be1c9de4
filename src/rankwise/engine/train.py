"""The training loop studies use: Hugging Face ``Trainer`` semantics, deterministic, resumable.

Unusual here:
- the loss of a step is the sum of NLL over the number of target tokens in the whole accumulation window;
- gradients are clipped over this run's trainables only, then optimizer, then scheduler;
- the base's own dropout is off (evaluation mode), so a run's numbers depend on its spec alone;
- the selection split is scored at ``eval_steps``; the best step on it is the checkpoint of record, and the test
  split, when asked for, is scored once at the end, at the best step and at the last.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rankwise.adapters import Adapter
from rankwise.adapters import save as save_adapter
from rankwise.adapters.optimizers import AdamW
from rankwise.cost import Workload, model_shape
from rankwise.data import Splits
from rankwise.engine.batches import collate, passes, window, workload
from rankwise.engine.checkpoint import CHECKPOINT, load_state, save_state
from rankwise.engine.evaluate import Score, evaluate
from rankwise.engine.forward import Forward
from rankwise.engine.sample import sample
from rankwise.engine.spec import TrainSpec
from rankwise.engine.trainees import AdapterTrainee, FullTrainee, Trainee, make_trainee
from rankwise.models import Base

Observer = Callable[[dict[str, Any]], None]


@dataclass
class RunResult:
    """What a run leaves behind; plain JSON by :meth:`to_dict`, identical after a resume.

    Attributes:
        status: "done", or "diverged" when the loss or a score stopped being finite (``reason`` says where).
        curve: (step, selection NLL) at every evaluation.
        losses: training loss of every step.
        flops: useful training operations.
        selection: per-example score at the best step.
        test, test_final: per-example scores at the best and at the last step, when the test split was asked for.
    """

    status: Literal["done", "diverged"] = "done"
    reason: str | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    best_step: int | None = None
    trainable: int = 0
    examples: int = 0
    tokens: int = 0
    targets: int = 0
    flops: int = 0
    selection: Score | None = None
    test: Score | None = None
    test_final: Score | None = None

    @property
    def selection_nll(self) -> float | None:
        """Selection NLL at the best step."""
        return self.selection.mean if self.selection else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> RunResult:
        """Build from :meth:`to_dict`'s form (after a trip through JSON)."""
        scores = {k: Score(tuple(v["nll"]), tuple(v["targets"])) for k, v in value.items() if k in _SCORES and v}
        curve = [(int(step), float(nll)) for step, nll in value["curve"]]
        return cls(**{**value, "curve": curve, **scores})


_SCORES = ("selection", "test", "test_final")


class Run:
    """One run in progress; :func:`train` drives it from start to end."""

    def __init__(self, base: Base, forward: Forward, spec: TrainSpec, splits: Splits) -> None:
        self.base, self.spec, self.splits = base, spec, splits
        self.shape = model_shape(base.model)
        data = sample(spec, splits.train, next(base.model.parameters()).device)
        self.trainee: Trainee = make_trainee(base.model, forward, spec.target, spec.seed, data)
        self.parameters = list(self.trainee.parameters.values())
        self.optimizer = make_optimizer(self.trainee.parameters, spec)
        self.scheduler = make_schedule(self.optimizer, spec)
        self.result = RunResult(trainable=sum(p.numel() for p in self.parameters))
        self.best: dict[str, Tensor] = {}
        self.work = Workload()
        self.step = 0

    def train_step(self) -> float:
        """One optimizer step; returns its loss. Nothing is changed when the loss is not finite."""
        indices = window(self.spec, len(self.splits.train), self.step)
        examples = [self.splits.train[i] for i in indices]
        denominator = sum(e.targets for e in examples)
        device = self.parameters[0].device
        total = 0.0
        for part in passes(self.spec, self.splits.train, indices):
            nll = self.trainee.forward.nll(collate([self.splits.train[i] for i in part], device)).sum()
            (nll / denominator).backward()
            total += float(nll.detach())
        loss = total / denominator
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if not (math.isfinite(loss) and torch.isfinite(norm)):
            return math.nan
        if self.spec.clip:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.spec.clip, norm)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.trainee.after_step()
        self.step += 1
        self.work += workload(examples)
        self.result.examples += len(examples)
        self.result.losses.append(loss)
        return loss

    def score_selection(self, keep_best: bool) -> float:
        """Score the selection split and remember the best step."""
        score = evaluate(self.trainee.forward, self.splits.selection)
        self.result.curve.append((self.step, score.mean))
        if math.isfinite(score.mean) and (self.result.selection is None or score.mean < self.result.selection.mean):
            self.result.selection, self.result.best_step = score, self.step
            if keep_best:
                self.best = self.trainee.snapshot()
        return score.mean

    def diverge(self, what: str) -> None:
        """Record that this run ended early; the curve keeps its finite points."""
        self.result.status = "diverged"
        self.result.reason = f"{what} stopped being finite at step {self.step + 1} (learning rate {self.spec.lr:g})"
        self.result.curve = [(step, nll) for step, nll in self.result.curve if math.isfinite(nll)]

    def finish(self, test: bool, save_to: Path | None) -> RunResult:
        """Score the test split at the last and at the best step and save the best adapter."""
        result = self.result
        result.tokens, result.targets = self.work.tokens, self.work.targets
        result.flops = self.trainee.flops(self.shape, self.work)
        if result.status == "done" and test:
            result.test_final = evaluate(self.trainee.forward, self.splits.test)
            result.test = result.test_final
        if result.status == "done" and self.best and result.best_step != self.step:
            self.trainee.restore(self.best)
            if test:
                result.test = evaluate(self.trainee.forward, self.splits.test)
        if result.status == "done" and save_to is not None and isinstance(self.trainee, AdapterTrainee):
            name, fingerprint = self.base.name, self.base.fingerprint
            save_adapter(self.trainee.handle, save_to, base_model=name, base_fingerprint=fingerprint)
        if result.status == "done" and save_to is not None and isinstance(self.trainee, FullTrainee):
            self.trainee.model.save_pretrained(save_to)
            self.base.tokenizer.save_pretrained(save_to)
        return result

    def record(self) -> dict[str, Any]:
        """Return what a checkpoint keeps besides tensors."""
        return {"step": self.step, "work": asdict(self.work), "result": self.result.to_dict()}

    def resume(self, path: Path) -> bool:
        """Continue from a checkpoint if there is a usable one."""
        loaded = load_state(path, self.trainee, self.optimizer)
        if loaded is None:
            return False
        self.best, record = loaded
        self.step, self.work = record["step"], Workload(**record["work"])
        self.result = RunResult.from_dict(record["result"])
        with warnings.catch_warnings(action="ignore"):  # torch warns that no optimizer step came first
            for _ in range(self.step):
                self.scheduler.step()
        return True


def make_optimizer(parameters: dict[str, nn.Parameter], spec: TrainSpec) -> torch.optim.Optimizer:
    """AdamW at the rates of the adapter's optimizer axis.

    Weight decay, when asked for, is on matrices only (no norms, no biases), as Trainer does.
    """
    choice = spec.target.optimizer if isinstance(spec.target, Adapter) else AdamW()
    groups = choice.groups(parameters, spec.lr, spec.weight_decay)
    return torch.optim.AdamW(groups, lr=spec.lr, betas=spec.betas, eps=spec.eps, fused=True)


def make_schedule(optimizer: torch.optim.Optimizer, spec: TrainSpec) -> Any:
    """The schedule of transformers, over this run's own steps."""
    from transformers import get_scheduler

    return get_scheduler(spec.schedule, optimizer, num_warmup_steps=spec.warmup, num_training_steps=spec.steps)


def train(
    base: Base,
    spec: TrainSpec,
    splits: Splits,
    *,
    forward: Forward | None = None,
    test: bool = False,
    folder: Path | None = None,
    save_to: Path | None = None,
    observe: Observer | None = None,
    checkpoint_seconds: float = 30.0,
) -> RunResult:
    """Train one run and score it.

    Args:
        base: the frozen base; left bit for bit as it was.
        forward: reuse the probes of an earlier run on the same base.
        test: score the test split at the end.
        folder: where the checkpoint lives; with one, a killed run continues and ends with the same bits.
        save_to: folder for the best adapter, PEFT layout (adapters only).
        observe: called with ``{"step", "loss"}`` after every step, ``{"step", "selection_nll"}`` after every
            evaluation and ``{"event": "resumed", "step"}`` after a resume.
        checkpoint_seconds: least time between two checkpoints, which are written at evaluations only.
    """
    tell = observe or (lambda record: None)
    base.model.eval()
    run = Run(base, forward or Forward(base.model), spec, splits)
    checkpoint = folder / CHECKPOINT if folder else None
    keep_best = test or save_to is not None
    try:
        if checkpoint and run.resume(checkpoint):
            tell({"event": "resumed", "step": run.step})
        written = time.monotonic()
        while run.step < spec.steps:
            loss = run.train_step()
            if not math.isfinite(loss):
                run.diverge("the training loss")
                break
            tell({"step": run.step, "loss": loss})
            if run.step not in spec.eval_steps:
                continue
            score = run.score_selection(keep_best)
            if not math.isfinite(score):
                run.diverge("the selection score")
                break
            tell({"step": run.step, "selection_nll": score})
            if checkpoint and run.step < spec.steps and time.monotonic() - written >= checkpoint_seconds:
                save_state(checkpoint, run.trainee, run.optimizer, run.best, run.record())
                written = time.monotonic()
        return run.finish(test, save_to)
    finally:
        run.trainee.close()
