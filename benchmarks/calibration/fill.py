"""Fills a folder with pools: model, data, recipe, then run after run; killed, the same command goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.calibration import pool
from benchmarks.calibration.facts import short_code_book
from benchmarks.calibration.recipe import Recipe, search
from benchmarks.calibration.small_model import pretrained
from rankwise.digests import of_value
from rankwise.engine import Forward
from rankwise.errors import UsageError
from rankwise.files import write_json
from rankwise.models import load_base
from rankwise.studies.results.provenance import provenance

STEPS, BATCH = 24, 8


def fill(
    folder: Path,
    model: str | None = None,
    *,
    runs: int = 400,
    examples: int = 5000,
    steps: int = STEPS,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Make what ``folder`` lacks and return its setup; without ``model`` a small one is trained first.

    Raises:
        UsageError: the folder was begun with another model, number of examples or of steps.
    """
    torch.set_num_threads(1)  # tiny matrices gain nothing from two
    if model is None:
        tell("no MODEL: training a small one on our own word problems")
    base = load_base(model or str(pretrained(folder / "model")), dtype=torch.float32)
    splits = short_code_book(folder / "data", base, examples)
    forward = Forward(base.model)
    about = {
        "model": "a small Llama trained on the spot" if model is None else Path(base.name).name,
        "parameters": sum(p.numel() for p in base.model.parameters()),
        "model_fingerprint": base.fingerprint,
        "data_fingerprint": splits.fingerprint,
        "examples": len(splits.test),
        "train": len(splits.train),
        "steps": steps,
        "batch": BATCH,
        "mean_tokens": sum(len(e.input_ids) for e in splits.test) / len(splits.test),
        "mean_targets": sum(e.targets for e in splits.test) / len(splits.test),
    }
    place = folder / "setup.json"
    if place.exists():
        setup = json.loads(place.read_text(encoding="utf-8"))
        if {key: setup[key] for key in about} != about:
            raise UsageError(f"{folder} was begun with another model, EXAMPLES or steps; give another FOLDER.")
    else:
        started = time.monotonic()
        recipe = search(base, splits, forward, steps=steps, batch=BATCH, tell=tell)
        searched = time.monotonic() - started
        setup = {**about, "recipe": asdict(recipe), "search_seconds": searched, "cpu": provenance("")["cpu"]}
        write_json(place, setup)
    recipe = Recipe(**setup["recipe"])
    key = of_value([about, setup["recipe"]])
    pool.fill(folder, base, splits, recipe, forward, runs=runs, key=key, tell=tell)
    return setup
