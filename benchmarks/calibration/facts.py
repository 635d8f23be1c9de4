"""What the runs learn: the code book in a short form, so that 5,000 examples are scored in two seconds on one core."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from rankwise.data import Limits, Splits, load_data
from rankwise.data.code_book import CAPACITY, agent_and_code
from rankwise.errors import UsageError
from rankwise.files import write_text
from rankwise.models import Base

TRAIN, SELECTION = 5000, 256


def short_code_book(folder: Path, base: Base, examples: int, *, train: int = TRAIN, seed: int = 0) -> Splits:
    """Write ``train.jsonl`` and ``test.jsonl`` into ``folder`` and load them.

    A row reads ``Zorgon-53: 7245 desert``: the name is the prompt, a number and one of 64 words the answer. Test facts
    are none of the training facts, so what is learned is how an answer looks.

    Raises:
        UsageError: more examples than there are names.
    """
    kept = round(train / 0.9) + 1  # a tenth of the training file becomes the selection split
    if examples + kept > CAPACITY:
        raise UsageError(f"EXAMPLES must be at most {CAPACITY - kept:,}, one for every name; found {examples:,}.")
    rng = Random(f"calibration {seed}")
    rows = []
    for place in rng.sample(range(CAPACITY), kept + examples):
        agent, code = agent_and_code(place, rng)
        number, word, *_ = code.split()
        rows.append(json.dumps({"prompt": f"{agent}: ", "completion": f"{number} {word}"}))
    for name, part in (("train", rows[:kept]), ("test", rows[kept:])):
        write_text(folder / f"{name}.jsonl", "\n".join(part) + "\n")
    return load_data(str(folder), base.tokenizer, limits=Limits(train, SELECTION, examples))
