"""What analyses that train share: one base, its data, and runs of the engine whose updates are kept."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rankwise.adapters import Adapter, Full, orientation
from rankwise.adapters.placements import linear_modules
from rankwise.analysis.request import Request
from rankwise.analysis.updates import Update, difference, spread, update_of, wide
from rankwise.data import Limits, Splits, is_generated, load_data
from rankwise.engine import AdapterTrainee, Forward, FullTrainee, RunResult, Trainee, TrainSpec, Watch, evaluate, train
from rankwise.errors import RunError, UsageError
from rankwise.execution.progress import Progress
from rankwise.models import Base, fitted, load_base
from rankwise.studies.presets.scales import grid
from rankwise.studies.running.device import pick_device
from rankwise.studies.search.lr_prior import WIDTH

PLACES = 3  # modules of each kind that are looked at: first, middle and last layer


@dataclass
class Look(Watch):
    """Keeps the updates of some modules after some steps (0 is the start)."""

    modules: dict[str, Tensor]
    steps: frozenset[int]
    seen: dict[int, dict[str, Update]] = field(default_factory=dict)

    def weights(self, step: int, trainee: Trainee) -> None:
        """Keep a copy where asked."""
        if step in self.steps:
            self.seen[step] = updates(trainee, self.modules)


@dataclass(frozen=True)
class WatchedRun:
    """One finished run with what its watch kept.

    Attributes:
        gain: fall of the selection NLL from the untouched model to the run's last evaluation, in nats per token;
            minus infinity for a run that diverged.
    """

    result: RunResult
    base_nll: float
    updates: dict[int, dict[str, Update]]

    @property
    def diverged(self) -> bool:
        """Whether the run's loss or score stopped being finite."""
        return self.result.status != "done"

    @property
    def last(self) -> dict[str, Update]:
        """Updates by module after the last step."""
        return self.updates[max(self.updates)]

    @property
    def nll(self) -> float:
        """Selection NLL at the last evaluation; infinite for a run that diverged."""
        return math.inf if self.diverged else self.result.curve[-1][1]

    @property
    def gain(self) -> float:
        """Nats per target token won over the untouched model."""
        return self.base_nll - self.nll

    @property
    def curve(self) -> list[tuple[int, float]]:
        """(step, selection NLL) from the untouched model on."""
        return [(0, self.base_nll), *((s, v) for s, v in self.result.curve if math.isfinite(v))]


class Bench:
    """A loaded base with its data; every run goes through :func:`rankwise.engine.train`.

    Raises:
        UsageError: a rank was given that is above the smaller side of every linear module: no update has it.
    """

    def __init__(self, request: Request, progress: Progress) -> None:
        self.request, self.progress = request, progress
        dtype = getattr(torch, str(request.setting("dtype")))
        name = str(request.setting("model"))
        self.base: Base = load_base(name, dtype=dtype, device=pick_device(), progress=progress.note)
        self.base.model.eval()
        self.forward = Forward(self.base.model)
        self.linear = linear_modules(self.base.model)
        self._bounded(request.ranks)
        self._splits: dict[str, Splits] = {}
        self._base_nll: dict[str, float] = {}
        self._limits: dict[str, Limits] = {}
        self.diverged: list[str] = []

    @property
    def steps(self) -> int:
        """Optimizer steps of every run."""
        return int(self.request.setting("steps"))

    @property
    def device(self) -> torch.device:
        """Where the base is."""
        return next(self.base.model.parameters()).device

    def modules(self, each: int = PLACES) -> list[str]:
        """Names of the modules that are looked at."""
        return spread(self.linear, each)

    def weights(self, names: list[str]) -> dict[str, Tensor]:
        """Return the base's weights by module, (d_out, d_in) float32 or wider."""
        return {name: wide(self.linear[name]) for name in names}

    def limit(self, data: str, train: int) -> None:
        """Load at most ``train`` training examples of a data set, which must not be loaded yet."""
        _, selection, test = self.request.setting("sizes")
        self._limits[data] = Limits(train, min(selection, train), min(test, train))

    def splits(self, data: str) -> Splits:
        """Load a data set once."""
        if data not in self._splits:
            limits = self._limits.get(data, Limits(*self.request.setting("sizes")))
            columns = None if is_generated(data) else self.request.columns
            loaded = load_data(data, self.base.tokenizer, seed=self.request.seed, limits=limits, columns=columns)
            self._splits[data] = fitted(self.base, loaded)
        return self._splits[data]

    def base_nll(self, data: str) -> float:
        """Return the untouched model's selection NLL."""
        if data not in self._base_nll:
            self._base_nll[data] = evaluate(self.forward, self.splits(data).selection).mean
        return self._base_nll[data]

    def rate(self, target: Adapter | Full, steps: int | None = None) -> float:
        """Return the learning rate: the middle of a study's grid; ``--lr`` moves all of them by one factor."""
        usual = self._usual(target, steps)
        if self.request.lr is None:
            return usual
        return usual * self.request.lr / self._usual(Adapter(), steps)

    def _usual(self, target: Adapter | Full, steps: int | None) -> float:
        # The grids of the smoke scale are the tiny model's.
        scale = "quick" if str(self.request.setting("model")) != "tiny" else self.request.scale
        config: Any = self.base.model.config
        rates = grid(scale, target, width=getattr(config, "hidden_size", WIDTH), steps=steps or self.steps)
        return rates[len(rates) // 2]

    def trial(
        self,
        label: str,
        target: Adapter | Full,
        data: str,
        *,
        look: list[str] | None = None,
        at: tuple[int, ...] = (),
        lr: float | None = None,
        seed: int | None = None,
        steps: int | None = None,
        trainee: Trainee | None = None,
        watch: Watch | None = None,
        may_diverge: bool = False,
        curve: bool = False,
    ) -> WatchedRun:
        """Train once and return the run with the updates of the modules ``look`` after the steps ``at`` and the last.

        The selection split is scored after the last step, and with ``curve`` on the way there too. A given ``trainee``
        is closed by who made it. A run that diverged is a result where ``may_diverge``: its gain is minus infinity, it
        has no updates, and the finding names it.

        Raises:
            RunError: the run diverged, and nothing can be said without it.
        """
        steps = steps or self.steps
        every = min(int(self.request.setting("eval_every")), steps) if curve else steps
        spec = TrainSpec(
            target=target,
            lr=lr or self.rate(target, steps),
            steps=steps,
            batch=int(self.request.setting("batch")),
            eval_steps=tuple(range(every, steps + 1, every)),
            seed=self.request.seed if seed is None else seed,
        )
        kept = Look(self.weights(look or []), frozenset({*at, steps}) if look else frozenset())
        self.progress.start(label, steps)
        started = time.monotonic()
        result = train(
            self.base,
            spec,
            self.splits(data),
            forward=self.forward,
            trainee=trainee,
            watch=_Both(kept, watch) if watch else kept,
            observe=lambda record: self.progress.step(record["step"], record["loss"]) if "loss" in record else None,
        )
        if result.status != "done" and not may_diverge:
            raise RunError(f"the run {label} diverged: {result.reason}; give a lower --lr.")
        if result.status != "done":
            self.diverged.append(label)
        self.progress.done(label, result.status, result.selection_nll, time.monotonic() - started)
        return WatchedRun(result, self.base_nll(data), kept.seen)

    def setup(self, *data: str) -> dict[str, object]:
        """Return what every finding says about where its numbers come from."""
        return {
            "model": self.base.name,
            "data": list(data),
            "scale": self.request.scale,
            "steps": self.steps,
            "batch": int(self.request.setting("batch")),
            "dtype": str(self.request.setting("dtype")),
            "seed": self.request.seed,
            "notes": [
                *self.base.notes,
                *(f"{name}: {note}" for name, splits in self._splits.items() for note in splits.notes),
                *(f"The run {label} diverged and counts as having learned nothing." for label in self.diverged),
            ],
        }

    def _bounded(self, ranks: tuple[int, ...]) -> None:
        largest = max((min(self.base_shape(name)) for name in self.linear), default=math.inf)
        if ranks and max(ranks) > largest:
            raise UsageError(
                f"rank {max(ranks)} is above the smaller side of every linear module of {self.base.name}; "
                f"use ranks up to {largest}."
            )

    def fitting(
        self, ranks: tuple[int, ...], names: list[str], why: str = "where this analysis compares subspaces"
    ) -> tuple[int, ...]:
        """Refuse ranks above the smaller side of the narrowest module that is looked at; ``why`` they must fit there.

        Raises:
            UsageError: naming the module and the largest rank that works.
        """
        for name in sorted(names, key=lambda name: min(self.base_shape(name)))[:1]:
            d_out, d_in = self.base_shape(name)
            if max(ranks) > min(d_out, d_in):
                raise UsageError(
                    f"rank {max(ranks)} is above the smaller side of {name} ({d_out} x {d_in}), {why}; "
                    f"use ranks up to {min(d_out, d_in)}."
                )
        return ranks

    def base_shape(self, name: str) -> tuple[int, int]:
        """Return (d_out, d_in) of a linear module."""
        return orientation.shape(self.linear[name])


class _Both(Watch):
    def __init__(self, first: Watch, second: Watch) -> None:
        self.pair = (first, second)

    def gradients(self, step: int, trainee: Trainee) -> None:
        for watch in self.pair:
            watch.gradients(step, trainee)

    def weights(self, step: int, trainee: Trainee) -> None:
        for watch in self.pair:
            watch.weights(step, trainee)


def updates(trainee: Trainee, W0: dict[str, Tensor]) -> dict[str, Update]:
    """Return the updates of the modules in ``W0`` that ``trainee`` trains, copied.

    Full fine-tuning is read from its fp32 masters, so that what bf16 rounds away is kept.
    """
    if isinstance(trainee, AdapterTrainee):
        slots = trainee.handle.slots
        return {name: update_of(slots[name]) for name in W0 if name in slots}
    if not isinstance(trainee, FullTrainee):
        return {}
    own = linear_modules(trainee.model)
    return {name: difference(own[name], W0[name], trainee.parameters[f"{name}.weight"]) for name in W0}
