"""Every reader of bytes from elsewhere, called in this process: it returns, or says what is wrong in a sentence.

For hypothesis (tests/chaos/test_readers.py) and for a fuzzer that follows coverage (tests/chaos/fuzz.py): both call a
reader thousands of times, which the whole command is too slow for.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rankwise.adapters.peft_config import read_terms
from rankwise.continual.stream import resolve_stream
from rankwise.data.answers import gold_answer
from rankwise.data.columns import parse_columns
from rankwise.data.load import load_examples
from rankwise.data.prompts import prompts_in
from rankwise.digests import DamagedError, check_file
from rankwise.errors import RankwiseError
from rankwise.ledger import Ledger
from rankwise.reading import Pattern, parse_json, parse_yaml
from rankwise.studies.budget.plan import parse_budget
from rankwise.studies.config import parse_config
from rankwise.studies.results.file import read_results

_FOLDER = Path(tempfile.mkdtemp(prefix="rankwise-readers-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    def call(raw: bytes) -> Any:
        path = _FOLDER / name
        path.write_bytes(raw)
        return read(path)

    return call


def _mapping(read: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], Any]:
    def call(raw: bytes) -> Any:
        found = parse_json(_text(raw), "here")
        return read(found) if isinstance(found, dict) else None

    return call


def _ledger(path: Path) -> None:
    for beside in _FOLDER.glob("ledger.sqlite-*"):
        beside.unlink()
    with Ledger(path.parent) as ledger:
        ledger.runs()


READERS: dict[str, Callable[[bytes], Any]] = {
    "json": lambda raw: parse_json(_text(raw), "here"),
    "yaml": lambda raw: parse_yaml(_text(raw), "here"),
    "pattern": lambda raw: Pattern(_text(raw), "here").matches("model.layers.0.self_attn.q_proj"),
    "budget": lambda raw: parse_budget(_text(raw)),
    "columns": lambda raw: parse_columns(_text(raw)),
    "answer": lambda raw: gold_answer(_text(raw)),
    "study": _mapping(parse_config),
    "stream": _mapping(resolve_stream),
    "adapter config": _mapping(lambda found: read_terms(found, Path("here"))),
    "rows.jsonl": _file("rows.jsonl", lambda path: load_examples(str(path))),
    "rows.json": _file("rows.json", lambda path: load_examples(str(path))),
    "rows.csv": _file("rows.csv", lambda path: load_examples(str(path))),
    "rows.parquet": _file("rows.parquet", lambda path: load_examples(str(path))),
    "prompts": _file("prompts.txt", prompts_in),
    "tensors": _file("t.safetensors", check_file),
    "results": _file("results.json", read_results),
    "ledger": _file("ledger.sqlite", _ledger),
}


def read(name: str, raw: bytes) -> None:
    """Call a reader; anything it raises but our own errors is a fault, and is raised."""
    try:
        READERS[name](raw)
    except (RankwiseError, DamagedError) as refused:
        if not str(refused):
            raise AssertionError("a refusal says nothing") from refused
