"""A stream of tasks, learned one after another by every strategy, in every order, with every seed.

All chains take their next task together, so those on the same data share passes. What a task needs of the task before
is the state it ended with; a run's key holds the hash of that state, so a resumed or extended stream reuses every
finished run, and a chain that shares its beginning with another is trained once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from rankwise.adapters import stream_seed
from rankwise.continual.chain import Chain
from rankwise.continual.folder import open_stream
from rankwise.continual.fusing import within_budget
from rankwise.continual.job_bytes import job_bytes
from rankwise.continual.joint import train_joint
from rankwise.continual.outcome import StreamOutcome, document, write_matrices
from rankwise.continual.router import Region, features, region, route
from rankwise.continual.saving import save_adapters
from rankwise.continual.scoring import Scorer, TaskScore
from rankwise.continual.strategies.base import check_frozen
from rankwise.continual.stream import JOINT, Stream
from rankwise.continual.tasks import Loaded, load_tasks, to_train
from rankwise.engine import State
from rankwise.engine.trainees import AdapterTrainee
from rankwise.execution.executor import Executor
from rankwise.execution.job import Job, last_step_job
from rankwise.execution.progress import Progress
from rankwise.ledger.folder import StudyFolder
from rankwise.ledger.lock import StudyLock
from rankwise.ledger.store import Ledger
from rankwise.models import load_base
from rankwise.studies.results.file import write_document
from rankwise.studies.results.provenance import provenance
from rankwise.studies.results.schema import StreamDocument
from rankwise.studies.running.device import pick_device


def run_chain(
    config: Stream, out: Path, *, progress: Progress | None = None, command: str = "rankwise chain"
) -> StreamDocument:
    """Run, continue or append to the stream in ``out`` and return ``{"results", "cost", "provenance"}``.

    Writes ``study.yaml``, ``tasks.json``, ``ledger.sqlite``, ``runs/``, ``results.json``, ``R.json`` and ``adapters/``.

    Raises:
        UsageError: a bad setting, model or data, or a folder with another stream.
        RunError: no chain came to its end, or a frozen adapter changed.
    """
    progress, started = progress or Progress(), time.monotonic()
    base = load_base(config.model, dtype=getattr(torch, config.dtype), device=pick_device(), progress=progress.note)
    tasks = load_tasks(config, base)
    for note in [note for loaded in tasks.values() for note in loaded.notes]:
        progress.note(note)
    with StudyLock(out):
        folder = StudyFolder(out)
        state = open_stream(folder, config.to_dict(), tasks)
        folder.clean_temporaries()
        with Ledger(out) as ledger:
            executor = Executor(folder, ledger, base, progress, checkpoint_seconds=config.checkpoint_seconds)
            if state != "created":
                done = sum(run.status == "done" for run in ledger.runs())
                progress.note(f"{state}: {done} runs and scores are in the ledger and are not made again")
            outcome = Conductor(config, executor, tasks).conduct()
            results = document(config, base, tasks, outcome)
            results["saved"] = save_adapters(config, executor, tasks, outcome, folder.path / "adapters")
            by_strategy, joint = outcome.seconds(executor)
            found: StreamDocument = {
                "results": results,
                "cost": {
                    "seconds": time.monotonic() - started,
                    "trained_seconds": sum(run.seconds or 0.0 for run in ledger.runs()),
                    "by_strategy": by_strategy,
                    "joint": joint,
                },
                "provenance": provenance(command),
            }
            write_matrices(outcome, folder.path / "R.json")
            write_document(folder.results_file, found)
    return found


class Conductor:
    """Takes every chain through its tasks."""

    def __init__(self, config: Stream, executor: Executor, tasks: Mapping[str, Loaded]) -> None:
        self.config, self.executor, self.tasks = config, executor, tasks
        self.plain = config.adapter()
        self.scorer = Scorer(executor, config.dtype, self.plain, tasks)
        self.names = [task.id for task in config.tasks]
        self.chains = [
            Chain(label, strategy, number, order, seed)
            for label, strategy in config.chosen()
            for number, order in enumerate(config.orders_of())
            for seed in config.seeds
        ]
        self._planned: dict[str, bool] = {}  # runs by key: whether they were done before
        self._fresh: dict[int, dict[str, Tensor]] = {}
        self._features: dict[tuple[str, str], Tensor] = {}

    def conduct(self) -> StreamOutcome:
        """Learn and score everything."""
        base = self.scorer.scores(None, self.names, "the untouched base")
        for chain in self.chains:
            chain.rows, chain.oracle = [base], [base]
        joint = (
            train_joint(self.config, self.executor, self.scorer, self.tasks, self.seed, self._plan)
            if JOINT in self.config.references
            else []
        )
        for place in range(len(self.names)):
            self._learn(place, [chain for chain in self.chains if chain.fault is None])
            for chain in [chain for chain in self.chains if chain.fault is None]:
                self._score(chain, chain.order[place])
        sizes = {name: len(loaded.train) for name, loaded in self.tasks.items()}
        return StreamOutcome(self.chains, base, joint, sizes)

    def seed(self, seed: int, task: str) -> int:
        """Return the seed of a task's run: the same wherever in an order the task comes, so equal starts are shared."""
        return stream_seed(seed, "task", task) % 2**31

    def _learn(self, place: int, chains: list[Chain]) -> None:
        """Train the next task of ``chains``; a run that fails or diverges ends its chain."""
        jobs, starts = [], []
        for chain in chains:
            name = chain.order[place]
            strategy, seed = chain.strategy, self.seed(chain.seed, name)
            before = chain.last if strategy.answers == "one" else None
            adapter = strategy.adapter(self.plain, before is None)
            start = strategy.start(self._start(seed), before) if before is not None else None
            start, error = self._cut(chain, start, f"before {name}")
            chain.errors.append(error)
            own = self.tasks[name]
            earlier = [self.tasks[other].train for other in chain.order[:place]]
            splits = to_train(name, strategy.examples(own.train, earlier, chain.seed), own.selection)
            steps = self.config.steps_of(own.task, len(own.train))
            spec = self.config.spec(adapter, own.task, seed, steps=steps)
            label = f"{chain.name}, {name}"
            jobs.append(last_step_job(label, spec, splits, self.config.dtype, start=start, keep=True))
            starts.append(start)
        self._plan(jobs)
        for chain, job, start, result in zip(chains, jobs, starts, self.executor.run(jobs), strict=True):
            if result is None or result.status != "done":
                chain.fault = f"{chain.order[place]}: {self.executor.reason(job)}"
                self.executor.progress.note(f"{chain.name} ends at {chain.fault}")
                continue
            chain.results.append(result)
            chain.keys.append(self.executor.key(job))
            chain.bytes = max(chain.bytes, job_bytes(self.executor.base.model, job))
            state = self.executor.state(job)
            check_frozen(job.label, start, state)
            kept, error = self._cut(chain, state, f"after {chain.order[place]}")  # an event may have frozen some inside
            assert kept is not None
            chain.errors[-1] = max((e for e in (chain.errors[-1], error) if e is not None), default=None)
            chain.states[chain.order[place]] = kept

    def _cut(self, chain: Chain, state: State | None, when: str) -> tuple[State | None, float | None]:
        """Cut a state to what the rank budget leaves it, and say so."""
        room = self.config.room(chain.strategy)
        state, error = within_budget(state, room, self.config.rank)
        if error is not None:
            self.executor.progress.note(
                f"{chain.name}, {when}: frozen pairs cut to rank budget {room}, error {error:.2%}"
            )
        return state, error

    def _plan(self, jobs: list[Job]) -> None:
        """Tell how many runs there are to make so far, those that chains share counted once."""
        self._planned |= {self.executor.key(job): self.executor.known(job) is not None for job in jobs}
        self.executor.progress.plan(len(self._planned), sum(self._planned.values()))

    def _start(self, seed: int) -> dict[str, Tensor]:
        """Return the adapter's own start at a seed."""
        if seed not in self._fresh:
            trainee = AdapterTrainee(self.executor.base.model, self.executor.forward, self.plain, seed, "fresh")
            try:
                self._fresh[seed] = trainee.snapshot()
            finally:
                trainee.close()
        return self._fresh[seed]

    def _score(self, chain: Chain, name: str) -> None:
        """Append the row of R after task ``name``."""
        if chain.strategy.answers == "one":
            chain.rows.append(self.scorer.scores(chain.last, self.names, f"{chain.name} after {name}"))
            return
        base = chain.rows[0]
        told = {
            j: self.scorer.scores(chain.states[j], [j], f"{chain.name}, expert {j}")[j]
            if j in chain.states
            else base[j]
            for j in self.names
        }
        chain.oracle.append(told)
        if chain.strategy.answers == "oracle":
            chain.rows.append(told)
            return
        experts = {
            k: self.scorer.scores(state, self.names, f"{chain.name}, expert {k}") for k, state in chain.states.items()
        }
        routes = {j: self._route(chain, j) for j in self.names}
        chain.routes.append(routes)
        chain.rows.append(
            {
                j: TaskScore(
                    tuple((experts[k] if k else base)[j].nll[i] for i, k in enumerate(routes[j])),
                    tuple((experts[k] if k else base)[j].right[i] for i, k in enumerate(routes[j])),
                )
                for j in self.names
            }
        )

    def _route(self, chain: Chain, name: str) -> list[str | None]:
        """Return which expert answers each test example of a task, the seen tasks being those learned so far."""
        options = chain.strategy.to_dict()
        chain.regions = {k: self._region(k, options["k"]) for k in chain.states}
        return route(self._points(name, "test"), chain.regions, options["abstain"])

    def _region(self, name: str, k: int) -> Region:
        task = self.tasks[name]
        found = self.executor.remember(
            f"centroids of {name}",
            {"centroids": k, "dtype": self.config.dtype},
            task.fingerprint,
            lambda: region(self._points(name, "train"), k).to_dict(),
        )
        return Region.from_dict(found)

    def _points(self, name: str, split: str) -> Tensor:
        if (name, split) not in self._features:
            examples = getattr(self.tasks[name], split)
            self._features[name, split] = features(self.executor.forward, examples)
        return self._features[name, split]
