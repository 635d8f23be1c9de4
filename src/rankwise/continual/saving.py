"""The adapters a stream ends with, and the router that chooses between experts, as files for other commands."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankwise.continual.chain import Chain
from rankwise.continual.fusing import save
from rankwise.continual.outcome import StreamOutcome
from rankwise.continual.router import FEATURE
from rankwise.continual.stream import Stream
from rankwise.continual.tasks import Loaded
from rankwise.data import common_form
from rankwise.execution.executor import Executor
from rankwise.models import write_form
from rankwise.studies.results.file import write_document
from rankwise.studies.results.schema import Saved

ROUTER = "router.json"


def save_adapters(
    config: Stream, executor: Executor, tasks: Mapping[str, Loaded], outcome: StreamOutcome, folder: Path
) -> list[Saved]:
    """Write what each strategy ended with (first order, first seed) as adapters that ``rankwise export`` reads.

    Beside each lies how its training data were written: those of all tasks, or of an expert's own.
    """
    saved: list[Saved] = []
    all_tasks = common_form(loaded.form for loaded in tasks.values())
    for chain in outcome.ended:
        if chain.number or chain.seed != config.seeds[0]:
            continue
        place = folder / chain.label
        shutil.rmtree(place, ignore_errors=True)
        plain = config.adapter()
        if chain.strategy.answers == "one":
            assert chain.last is not None
            save(executor, plain, chain.last, place)
            write_form(place, all_tasks)
            saved.append({"strategy": chain.label, "folder": f"adapters/{chain.label}", "what": "exact", "error": 0.0})
            if config.rank_budget is not None:
                name = f"{chain.label}-rank-{config.rank_budget}"
                shutil.rmtree(folder / name, ignore_errors=True)
                error = save(executor, plain, chain.last, folder / name, rank=config.rank_budget)
                write_form(folder / name, all_tasks)
                what = f"SVD to rank {config.rank_budget}"
                saved.append({"strategy": chain.label, "folder": f"adapters/{name}", "what": what, "error": error})
            continue
        for name, state in chain.states.items():
            save(executor, plain, state, place / name)
            write_form(place / name, tasks[name].form)
            where = f"adapters/{chain.label}/{name}"
            saved.append({"strategy": chain.label, "folder": where, "what": f"expert for {name}", "error": 0.0})
        if chain.strategy.answers == "router":
            write_document(place / ROUTER, router(executor, chain))
    return saved


def router(executor: Executor, chain: Chain) -> dict[str, Any]:
    """Return what it takes to choose as the stream did: every expert's centroids and radius, and the rule.

    A point is farther than ``abstain`` times the radius of the nearest centroid's task: the base answers (0: never).
    """
    return {
        "feature": FEATURE,
        "model": executor.base.name,
        "model_fingerprint": executor.base.fingerprint,
        "abstain": chain.strategy.to_dict()["abstain"],
        "experts": {name: {"folder": name, **chain.regions[name].to_dict()} for name in chain.order},
    }
