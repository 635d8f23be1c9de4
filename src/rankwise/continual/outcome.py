"""What came of a stream: the results document, R per example, and the adapters at the end."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rankwise.continual.bench import Bench
from rankwise.continual.fusing import save
from rankwise.continual.measures import METRICS, Matrix, difference, interval, measures, values
from rankwise.continual.scoring import Scored
from rankwise.continual.stream import Stream
from rankwise.continual.tasks import Loaded
from rankwise.errors import RunError
from rankwise.files import write_json
from rankwise.models import Base

if TYPE_CHECKING:
    from rankwise.continual.chain import Chain

Tokens = Mapping[str, Sequence[int]]
LEVEL = 0.95


@dataclass(frozen=True)
class Outcome:
    """Every chain at its end, the base's scores, and those of the joint reference, one per seed."""

    chains: Sequence[Chain]
    base: Mapping[str, Scored]
    joint: Sequence[Mapping[str, Scored]]

    @property
    def ended(self) -> list[Chain]:
        """The chains that came to their end."""
        return [chain for chain in self.chains if chain.fault is None]


def document(config: Stream, base: Base, tasks: Mapping[str, Loaded], outcome: Outcome) -> dict[str, Any]:
    """Return the results: plain JSON values without clocks.

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
        found.append(_strategy(label, own, tokens, versus))
    return {
        "results": {
            "kind": "stream",
            "study": config.to_dict(),
            "cell": {"model": base.name, "notes": [*base.notes, *(n for t in tasks.values() for n in t.notes)]},
            "tasks": [_task(loaded, outcome.base[name], tokens) for name, loaded in tasks.items()],
            "compared_with": labels[0],
            "strategies": found,
            "joint": _joint(outcome, tokens),
            "faults": [{"run": c.name, "reason": c.fault} for c in outcome.chains if c.fault is not None],
        }
    }


def _task(loaded: Loaded, base: Scored, tokens: Tokens) -> dict[str, Any]:
    name = loaded.task.id
    rows = Matrix((name,), ({name: base},))
    return {
        "id": name,
        "data": loaded.task.data,
        "train": len(loaded.train),
        "test": len(loaded.test),
        "fingerprint": loaded.fingerprint,
        "base": {metric: rows.means(metric, {name: tokens[name]})[0][0] for metric in METRICS},
    }


def _strategy(label: str, chains: Sequence[Chain], tokens: Tokens, versus: Any) -> dict[str, Any]:
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
        "router": _router(chains, tokens) if strategy.answers == "router" else None,
        "growth": growth(chains[0]),
        "flops": sum(result.flops for chain in chains for result in chain.results),
        "examples": sum(result.examples for chain in chains for result in chain.results),
        "chains": [_chain(chain, tokens) for chain in chains],
    }


def growth(chain: Chain) -> list[dict[str, Any]]:
    """Return, after each task, how many numbers are kept and the rank they make per module."""
    kept, found = 0, list[dict[str, Any]]()
    for name in chain.order:
        state = chain.states[name]
        kept = kept + state.numbers if chain.strategy.answers != "one" else state.numbers
        ranks = [v.shape[0] for k, v in state.tensors.items() if k.endswith(".A") and not k.startswith("merged/")]
        frozen = [v.shape[0] for k, v in state.tensors.items() if k.endswith(".A") and k.startswith("merged/")]
        rank = max(ranks) + max(frozen, default=0)
        rank = rank * (len(found) + 1) if chain.strategy.answers != "one" else rank
        found.append({"task": name, "numbers": kept, "rank": rank})
    return found


def _chain(chain: Chain, tokens: Tokens) -> dict[str, Any]:
    return {
        "order": list(chain.order),
        "seed": chain.seed,
        "R": {metric: chain.matrix.means(metric, tokens) for metric in METRICS},
        "losses": [result.losses for result in chain.results],
        "penalties": [result.penalties for result in chain.results],
        "events": [result.events for result in chain.results],
        "frozen_sha256": {name: state.sha256 for name, state in chain.states.items()},
        "budget_errors": chain.errors,
    }


def _router(chains: Sequence[Chain], tokens: Tokens) -> dict[str, Any]:
    """How often the last row's routes were right, abstained, and what telling the task would have gained."""
    routed = [(j, k) for chain in chains for j, some in chain.routes[-1].items() for k in some]
    gaps = {}
    for metric in METRICS:
        told = [values(Matrix(chain.order, tuple(chain.oracle)), metric, "AP", tokens) for chain in chains]
        found = [values(chain.matrix, metric, "AP", tokens) for chain in chains]
        pairs = zip(told, found, strict=True)
        gaps[metric] = interval([a - b if a is not None and b is not None else None for a, b in pairs], LEVEL)
    return {
        "right": float(np.mean([j == k for j, k in routed])),
        "abstained": float(np.mean([k is None for _, k in routed])),
        "oracle_gap": gaps,
    }


def _joint(outcome: Outcome, tokens: Tokens) -> dict[str, Any] | None:
    if not outcome.joint:
        return None
    names = tuple(tokens)
    rows = [_last(names, row) for row in outcome.joint]
    means = {metric: [matrix.means(metric, tokens)[-1] for matrix in rows] for metric in METRICS}
    ap = {metric: interval([values(m, metric, "AP", tokens) for m in rows], LEVEL) for metric in METRICS}
    return {"tasks": list(names), "R": means, "AP": ap}


def _last(names: tuple[str, ...], row: Mapping[str, Scored]) -> Matrix:
    """A matrix of which only the last row is read."""
    return Matrix(names, (row,) * (len(names) + 1))


def write_matrices(outcome: Outcome, path: Path) -> None:
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
    joint = [{name: scored.to_dict() for name, scored in row.items()} for row in outcome.joint]
    write_json(path, {"chains": chains, "joint": joint})


def save_adapters(config: Stream, bench: Bench, outcome: Outcome, folder: Path) -> list[dict[str, Any]]:
    """Write what each strategy ended with (first order, first seed) as adapters that ``rankwise export`` reads."""
    saved = []
    for chain in outcome.ended:
        if chain.number or chain.seed != config.seeds[0]:
            continue
        place = folder / chain.label
        shutil.rmtree(place, ignore_errors=True)
        plain = config.adapter()
        if chain.strategy.answers == "one":
            assert chain.last is not None
            save(bench, plain, chain.last, place)
            saved.append({"strategy": chain.label, "folder": f"adapters/{chain.label}", "what": "exact", "error": 0.0})
            if config.rank_budget is not None:
                name = f"{chain.label}-rank-{config.rank_budget}"
                shutil.rmtree(folder / name, ignore_errors=True)
                error = save(bench, plain, chain.last, folder / name, rank=config.rank_budget)
                what = f"SVD to rank {config.rank_budget}"
                saved.append({"strategy": chain.label, "folder": f"adapters/{name}", "what": what, "error": error})
            continue
        for name, state in chain.states.items():
            save(bench, plain, state, place / name)
            where = f"adapters/{chain.label}/{name}"
            saved.append({"strategy": chain.label, "folder": where, "what": f"expert for {name}", "error": 0.0})
    return saved
