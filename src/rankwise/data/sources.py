"""From the rows of a source's splits to examples: what files and hub data sets have in common."""

from __future__ import annotations

from rankwise.data.columns import Columns, rename
from rankwise.data.examples import CompletionStyle
from rankwise.data.forms import Rows, detect, labels_in, read_rows
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.squad import flat
from rankwise.data.splitting import Found
from rankwise.errors import UsageError

SPLIT_WORDS = {
    "train": ("train", "training"),
    "selection": ("selection", "validation", "valid", "val", "dev", "eval"),
    "test": ("test", "testing"),
}
MOST_LABELS = 200  # a "label" with more values than this is no classification


def read_splits(
    rows: dict[str, Rows],
    style: CompletionStyle,
    *,
    task: str = "",
    labels: tuple[str, ...] = (),
    columns: Columns | None = None,
) -> Found:
    """Read every split. ``task`` and ``labels`` matter to classifications only (see :class:`Reading`).

    ``columns`` says which columns to read as what; the others are then left unread.

    Without a train split (XCOPA), selection becomes train and a selection split is carved out of it.
    """
    notes: list[str] = []
    left: tuple[str, ...] = ()
    if "train" not in rows:
        rows = {"train": rows["selection"], "test": rows["test"]}
        notes.append("no train split was given: the selection split is used as train")
    rows = {split: flat(found) for split, found in rows.items()}
    if columns:
        rows, left, said = rename(rows, columns)
        notes.extend(said)
    unseen = _only_tested(rows) if not labels else ()
    if unseen:
        notes.append(f"labels that the test split has and no training row: {', '.join(unseen)}")
    reading = Reading(style, labels or _options(rows), task)
    read = {split: read_rows(found, reading) for split, found in rows.items()}
    for split, found in read.items():
        if found.unanswered:
            notes.append(f"{found.unanswered} {split} rows left out: marked as having no label or answer")
    notes.extend(dict.fromkeys(found.note for found in read.values() if found.note))
    unread = left or tuple(dict.fromkeys(column for found in read.values() for column in found.unread))
    if unread:
        notes.append(f"columns not used: {', '.join(unread)}")
    examples = {split: found.examples for split, found in read.items()}
    return Found(
        examples["train"],
        examples.get("selection"),
        examples.get("test"),
        tuple(notes),
        form=", ".join(dict.fromkeys(found.form for found in read.values())),
        unread=unread,
        unseen=unseen,
    )


def _only_tested(rows: dict[str, Rows]) -> tuple[str, ...]:
    return tuple(sorted(labels_in(rows["test"]) - labels_in(rows["train"]))) if "test" in rows else ()


def _options(rows: dict[str, Rows]) -> tuple[str, ...]:
    """Every label of a classification in order; numbers in the order of numbers."""
    found = set().union(*(labels_in(part) for part in rows.values()))
    if len(found) > MOST_LABELS:
        form = detect(rows["train"][0][1], rows["train"][0][0])
        asked, column = form.columns[0], form.label
        raise UsageError(
            f"{rows['train'][0][0]}: {column!r} has {len(found):,} different values, too many to choose from; for free "
            f"answers name the columns prompt and completion, or say --columns question={asked},answer={column}"
        )
    return tuple(sorted(found, key=lambda label: (int(label), label) if label.isdecimal() else (0, label)))
