"""What came of a stream: the results document, R per example, and the adapters at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from rankwise.continual.chain import Chain
from rankwise.continual.growth import growth
from rankwise.continual.joint import Joint
from rankwise.continual.metrics import METRICS, Matrix, beside_reference, change, difference, measures, values
from rankwise.continual.scoring import TaskScore
from rankwise.continual.stream import Stream
from rankwise.continual.tasks import Loaded
from rankwise.data.answers import gold_ids
from rankwise.errors import RunError
from rankwise.execution.executor import Executor
from rankwise.models import Base
from rankwise.studies.results import schema
from rankwise.studies.results.file import write_document

Tokens = Mapping[str, Sequence[int]]
LEVEL = 0.95


@dataclass(frozen=True)
class StreamOutcome:
    """Every chain at its end, the base's scores, the joint reference, one per seed, and the tasks' training sizes."""

    chains: Sequence[Chain]
    base: Mapping[str, TaskScore]
    joint: Sequence[Joint]
    sizes: Mapping[str, int]

    @property
    def ended(self) -> list[Chain]:
        """The chains that came to their end."""
        return [chain for chain in self.chains if chain.fault is None]

    @property
    def reference(self) -> dict[int, Matrix]:
        """The joint reference's scores by seed, where it came to its end."""
        return {joint.seed: _last(tuple(self.sizes), joint.scores) for joint in self.joint if joint.scores is not None}

    @property
    def faults(self) -> list[schema.Fault]:
        """What did not come to its end, and why."""
        found: list[schema.Fault] = [
            {"run": chain.name, "reason": chain.fault} for chain in self.chains if chain.fault is not None
        ]
        found += [{"run": f"joint, seed {j.seed}", "reason": j.fault} for j in self.joint if j.fault is not None]
        return found

    def seconds(self, executor: Executor) -> tuple[dict[str, float], float | None]:
        """Return how long every strategy and the reference trained; a run that several share counts for each."""
        by_strategy = {chain.label: 0.0 for chain in self.ended}
        for chain in self.ended:
            by_strategy[chain.label] += executor.seconds(chain.keys)
        joint = executor.seconds([one.key for one in self.joint]) if self.joint else None
        return by_strategy, joint


def document(config: Stream, base: Base, tasks: Mapping[str, Loaded], outcome: StreamOutcome) -> schema.StreamResults:
    """Return the results, no adapter saved yet: plain JSON values without clocks, as :mod:`.schema` describes them.

    Raises:
        RunError: no chain came to its end.
    """
    tokens = {name: [e.targets for e in loaded.test] for name, loaded in tasks.items()}
    ended = outcome.ended
    if not ended:
        raise RunError(f"no chain came to its end; the first stopped at {outcome.chains[0].fault}.")
    labels = list(dict.fromkeys(chain.label for chain in ended))
    first = [chain for chain in ended if chain.label == labels[0]]
    found = []
    for label in labels:
        own = [chain for chain in ended if chain.label == label]
        alike = label != labels[0] and [(c.number, c.seed) for c in own] == [(c.number, c.seed) for c in first]
        versus = difference([c.matrix for c in own], [c.matrix for c in first], tokens) if alike else None
        found.append(_strategy(label, own, tokens, versus, outcome))
    return {
        "kind": "stream",
        "study": cast("schema.StreamQuestion", config.to_dict()),
        "cell": {"model": base.name, "notes": [*base.notes, *(n for t in tasks.values() for n in t.notes)]},
        "tasks": [_task(loaded, outcome.base[name], tokens) for name, loaded in tasks.items()],
        "compared_with": labels[0],
        "strategies": found,
        "joint": _joint(outcome, tokens),
        "saved": [],
        "faults": outcome.faults,
    }


def _task(loaded: Loaded, base: TaskScore, tokens: Tokens) -> schema.TaskOf:
    name = loaded.task.id
    rows = Matrix((name,), ({name: base},))
    return {
        "id": name,
        "data": loaded.task.data,
        "train": len(loaded.train),
        "test": len(loaded.test),
        "fingerprint": loaded.fingerprint,
        "commonest": _commonest(loaded),
        "base": {
            "exact_match": rows.means("exact_match", {name: tokens[name]})[0][0],
            "nll": rows.means("nll", {name: tokens[name]})[0][0],
        },
    }


def _commonest(loaded: Loaded) -> float:
    """Share of the commonest reply: what always giving one answer would score in exact match."""
    replies = Counter(tuple(gold_ids(example)) for example in loaded.test)
    return max(replies.values()) / len(loaded.test)


def _strategy(
    label: str, chains: Sequence[Chain], tokens: Tokens, versus: schema.ByMetric | None, outcome: StreamOutcome
) -> schema.StrategyOf:
    strategy = chains[0].strategy
    return {
        "label": label,
        "name": strategy.name,
        "options": {k: v for k, v in strategy.to_dict().items() if k != "name"},
        "title": strategy.title,
        "arxiv": strategy.arxiv,
        "formula": strategy.formula,
        "answers": strategy.answers,
        "measures": measures([chain.matrix for chain in chains], tokens),
        "versus": versus,
        "versus_joint": beside_reference([(c.seed, c.matrix) for c in chains], outcome.reference, tokens),
        "router": _router(chains, tokens) if strategy.answers == "router" else None,
        "growth": growth(chains[0], outcome.sizes),
        "bytes": max(chain.bytes for chain in chains),
        "flops": sum(result.flops for chain in chains for result in chain.results),
        "examples": sum(result.examples for chain in chains for result in chain.results),
        "chains": [_chain(chain, tokens) for chain in chains],
    }


def _chain(chain: Chain, tokens: Tokens) -> schema.ChainOf:
    return {
        "order": list(chain.order),
        "seed": chain.seed,
        "R": {"exact_match": chain.matrix.means("exact_match", tokens), "nll": chain.matrix.means("nll", tokens)},
        "losses": [result.losses for result in chain.results],
        "penalties": [result.penalties for result in chain.results],
        "events": [result.events for result in chain.results],
        "frozen_sha256": {name: state.sha256 for name, state in chain.states.items()},
        "budget_errors": chain.errors,
    }


def _router(chains: Sequence[Chain], tokens: Tokens) -> schema.Router:
    """How often the last row's routes were right, abstained, and what telling the task would have gained."""
    routed = [(j, k) for chain in chains for j, some in chain.routes[-1].items() for k in some]
    rows = {}
    for metric in METRICS:
        told = [values(Matrix(chain.order, tuple(chain.oracle)), metric, "AP", tokens) for chain in chains]
        found = [values(chain.matrix, metric, "AP", tokens) for chain in chains]
        pairs = zip(told, found, strict=True)
        rows[metric] = [a - b if a is not None and b is not None else None for a, b in pairs]
    return {
        "right": float(np.mean([j == k for j, k in routed])),
        "abstained": float(np.mean([k is None for _, k in routed])),
        "oracle_gap": change(rows, tokens, LEVEL),
    }


def _joint(outcome: StreamOutcome, tokens: Tokens) -> schema.JointOf | None:
    rows = list(outcome.reference.values())
    if not rows:
        return None
    results = [joint.result for joint in outcome.joint if joint.result is not None]
    means = {metric: [matrix.means(metric, tokens)[-1] for matrix in rows] for metric in METRICS}
    found = measures(rows, tokens, LEVEL)
    return {
        "tasks": list(outcome.sizes),
        "seeds": list(outcome.reference),
        "R": means,
        "AP": {"exact_match": found["exact_match"]["AP"], "nll": found["nll"]["AP"]},
        "flops": sum(result.flops for result in results),
        "examples": sum(result.examples for result in results),
        "bytes": max(joint.bytes for joint in outcome.joint),
    }


def _last(names: tuple[str, ...], row: Mapping[str, TaskScore]) -> Matrix:
    """A matrix of which only the last row is read."""
    return Matrix(names, (row,) * (len(names) + 1))


def write_matrices(outcome: StreamOutcome, path: Path) -> None:
    """Write R whole, per example: by strategy, order and seed."""
    chains = [
        {
            "strategy": chain.label,
            "order": list(chain.order),
            "seed": chain.seed,
            "rows": [{name: scored.to_dict() for name, scored in row.items()} for row in chain.rows],
            "routes": chain.routes,
        }
        for chain in outcome.ended
    ]
    ended = [joint.scores for joint in outcome.joint if joint.scores is not None]
    joint = [{name: scored.to_dict() for name, scored in row.items()} for row in ended]
    write_document(path, {"chains": chains, "joint": joint})
