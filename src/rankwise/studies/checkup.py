"""What ``rankwise doctor`` looks at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from itertools import accumulate
from typing import Any

from rankwise.adapters import Full
from rankwise.data import Limits, Profile, is_generated, load_examples, preview, profile
from rankwise.data.control import note_of_spelled
from rankwise.data.render import date_note, encode_split
from rankwise.data.spelled import spelled
from rankwise.engine import Forward, evaluate
from rankwise.errors import unknown
from rankwise.models import Base, check_rows, load_base
from rankwise.studies.results.provenance import provenance
from rankwise.studies.running.device import pick_device
from rankwise.studies.running.single_config import single_config

ALL = Limits(None, None, None)
SCALE = "quick"  # doctor applies its maximum length and sizes
SETTINGS = ("max_length", "completion_style", "system", "columns")  # of a study, those that decide how data are read
SCORED = 3000  # tokens of selection examples on which the untouched model is scored: a few seconds on a CPU


def checkup(model: str, data: str, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return ``{"environment", "model", "data", "warnings", "preview"}``, all JSON values.

    ``settings`` are those of a study that decide how data are read (``SETTINGS``). ``data`` has counts per split as
    numbers; the preview is a list of (token text, trained on).

    Raises:
        UsageError: a setting that is not one of those, or a model or data set that cannot be used (labels all masked,
            for one); the message says what to do.
    """
    import torch

    for name in settings or {}:
        if name not in SETTINGS:
            raise unknown("setting of doctor", name, SETTINGS)
    config, _ = single_config(Full(), SCALE, {"model": model, "data": data, **(settings or {})}, lr=1.0)
    max_length = config.max_length
    base = load_base(model, dtype=torch.bfloat16)
    examples = load_examples(
        data,
        limits=Limits() if is_generated(data) else ALL,
        completion_style=config.completion_style,
        system=config.system,
        columns=config.columns,
    )
    # What a study would see, which refuses a set without anything to learn; splits are in random order already.
    seen = {
        split: encode_split(
            getattr(examples, split)[:size], base.tokenizer, max_length=max_length, split=split, skip=examples.skip
        )[0]
        for split, size in config.sizes.model_dump().items()
    }
    check_rows(base, [encoded.input_ids for split in seen.values() for encoded in split], f"data {data}")
    found = profile(examples, base.tokenizer, max_length=max_length)
    control = [
        note
        for split in seen
        for note in note_of_spelled(getattr(examples, split), base.tokenizer, split, examples.skip.keep)
    ]
    forward = Forward(base.model)
    ends = list(accumulate(len(encoded.input_ids) for encoded in seen["selection"]))
    scored = seen["selection"][: max(1, sum(end <= SCORED for end in ends))]
    return {
        "environment": _environment(),
        "model": _model(base, forward),
        "data": {
            "name": data,
            "form": examples.form,
            "columns_not_used": list(examples.unread),
            "max_length": max_length,
            "splits": {name: asdict(split) for name, split in found.splits.items()},
            "duplicates_across_splits": found.leaked,
            "prompts_across_splits": found.same_prompt,
            "untouched_nll": round(evaluate(forward, scored).mean, 4),
            "untouched_nll_examples": len(scored),
            "control_tokens": spelled(examples, base.tokenizer),
            "notes": [*examples.notes, *found.notes, *control, *date_note(examples.train, base.tokenizer)],
        },
        "warnings": [*found.warnings, *_beyond(base, found)],
        "preview": preview(found.first, base.tokenizer),
    }


def _environment() -> dict[str, str]:
    facts: Mapping[str, Any] = provenance("rankwise doctor")
    names = ("rankwise", "torch", "transformers", "python", "platform", "cpu")
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {**{name: facts[name] for name in names}, "memory": f"{gigabytes:.0f} GB", "device": pick_device()}


def _model(base: Base, forward: Forward) -> dict[str, str]:
    return {
        "name": base.name,
        "parameters": f"{sum(p.numel() for p in base.model.parameters()):,}",
        "fingerprint": base.fingerprint[:16],
        "chat template": "yes" if base.tokenizer.chat_template else "none (turns are written as plain lines)",
        "head on targets only": "yes" if forward.targets_only else "no (this model changes its logits)",
        "attention mask": "not needed" if forward.maskless else "used (padding reaches real tokens without it)",
        "notes": "; ".join(base.notes) or "none",
    }


def _beyond(base: Base, found: Profile) -> list[str]:
    """A warning when examples are longer than the model can read."""
    room, tokens = base.room, found.splits["train"].tokens
    if room is None or tokens is None or tokens.longest <= room:
        return []
    return [f"the longest training example has {tokens.longest:,} tokens, more than the {room:,} {base.name} can read"]
