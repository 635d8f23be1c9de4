"""The ledger as tables for other tools: one row a run, and one row an example of every scored split."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rankwise.errors import RunError, UsageError, unknown
from rankwise.files import replacing
from rankwise.ledger.repair import salvage
from rankwise.ledger.store import NAME, Ledger, Run

Row = dict[str, Any]
_FACTS = ("best_step", "trainable", "examples", "tokens", "targets", "flops")
_SPLITS = ("selection", "test", "test_final")


def export(
    folder: Path, form: str, out: Path | None = None, *, note: Callable[[str], None] = lambda text: None
) -> tuple[Path, Path]:
    """Write both tables of the study in ``folder`` and return their paths; of a damaged ledger, what can be saved.

    Args:
        form: parquet, csv or jsonl.
        out: file of the runs; the examples go beside it as ``<name>-examples``. ``folder/runs.<form>`` when left out.
        note: told in a sentence what is missing, if anything is.

    Raises:
        UsageError: an unknown form, no ledger, or a ledger without runs.
        RunError: a damaged ledger without one sound run.
    """
    if form not in WRITERS:
        raise unknown("table format", form, WRITERS)
    runs = _runs(folder, note)
    if not runs:
        raise UsageError(f"the ledger in {folder} has no runs yet; repeat the study's command first.")
    first = out or folder / f"runs.{form}"
    second = first.with_name(f"{first.stem}-examples{first.suffix}")
    told: tuple[list[Row], list[Row]] = ([], [])
    for run in runs:
        try:
            about, scored = run_row(run), list(example_rows(run))
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):  # of an earlier, unverified ledger
            note(f"run {run.key} in {folder / NAME} does not hold what a run's result holds; it is left out")
            continue
        told[0].append(about)
        told[1].extend(scored)
    for path, rows in zip((first, second), told, strict=True):
        with replacing(path) as temporary:
            WRITERS[form](even(rows), temporary)
    return first, second


def _runs(folder: Path, note: Callable[[str], None]) -> list[Run]:
    try:
        with Ledger(folder, read_only=True) as ledger:
            for text in ledger.notes:
                note(text)
            return [run for run in ledger.runs() if run.label != "look"]
    except RunError:
        runs, unsure = salvage(folder / NAME)
        if not runs:
            raise
        beside = f", {unsure} rows of which nothing is sure" if unsure else ""
        note(f"{folder / NAME} is damaged: {len(runs)} runs could be read{beside}; others may be missing")
        return runs


def run_row(run: Run) -> Row:
    """One run: identity, its spec flattened (``spec.lr``, ``spec.target.rank``), scores and cost."""
    result = run.result or {}
    right = result.get("right")
    return {
        "key": run.key,
        "arm": run.label.split(" ")[0],
        "label": run.label,
        "status": run.status,
        "reason": run.reason,
        **_flat(run.spec, "spec"),
        **{f"{split}_nll": _mean(result.get(split)) for split in _SPLITS},
        "exact_match": sum(right) / len(right) if right else None,
        **{fact: result.get(fact) for fact in _FACTS},
        "curve": json.dumps(result["curve"]) if result.get("curve") else None,
        "seconds": run.seconds,
        "started": run.started,
        "finished": run.finished,
        "restarted_at_step": run.restarted_at_step,
    }


def example_rows(run: Run) -> Iterator[Row]:
    """Each example's NLL sum and target tokens per split, and each question of the quiz under ``exact_match``."""
    result = run.result or {}
    who = {"key": run.key, "arm": run.label.split(" ")[0], "seed": run.spec.get("seed"), "lr": run.spec.get("lr")}
    for split in _SPLITS:
        score = result.get(split)
        if score:
            for place, (nll, targets) in enumerate(zip(score["nll"], score["targets"], strict=True)):
                yield {**who, "split": split, "example": place, "nll": nll, "targets": targets, "right": None}
    for place, right in enumerate(result.get("right") or []):
        yield {**who, "split": "exact_match", "example": place, "nll": None, "targets": None, "right": right}


def even(rows: list[Row]) -> list[Row]:
    """Give all rows the same columns, and every column one type: what mixes types becomes JSON text."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    kinds = {c: {type(row[c]) for row in rows if row.get(c) is not None} for c in columns}
    mixed = {c for c, found in kinds.items() if len(found) > 1 and not found <= {int, float}}
    whole = {c for c, found in kinds.items() if found == {int, float}}

    def value(row: Row, column: str) -> Any:
        found = row.get(column)
        if found is None:
            return None
        return json.dumps(found) if column in mixed else float(found) if column in whole else found

    return [{column: value(row, column) for column in columns} for row in rows]


def _flat(value: dict[str, Any], prefix: str) -> Row:
    row: Row = {}
    for name, item in value.items():
        if isinstance(item, dict):
            row |= _flat(item, f"{prefix}.{name}")
        else:
            row[f"{prefix}.{name}"] = json.dumps(item) if isinstance(item, list) else item
    return row


def _mean(score: dict[str, Any] | None) -> float | None:
    return sum(score["nll"]) / sum(score["targets"]) if score else None


def _parquet(rows: list[Row], path: Path) -> None:
    try:
        import pyarrow  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            "parquet needs pyarrow, which comes with datasets: pip install pyarrow, or --to csv"
        ) from error
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def _csv(rows: list[Row], path: Path) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def _jsonl(rows: list[Row], path: Path) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


WRITERS: dict[str, Callable[[list[Row], Path], None]] = {"parquet": _parquet, "csv": _csv, "jsonl": _jsonl}
