"""From the rows of a source's splits to examples: what files and hub data sets have in common."""

from __future__ import annotations

from rankwise.data.bad_rows import STRICT, Skipping
from rankwise.data.columns import Columns, rename
from rankwise.data.examples import CompletionStyle
from rankwise.data.forms import Rows, form_of, labels_in, read_rows
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.squad import flat
from rankwise.data.splitting import Found
from rankwise.data.unicode import composed
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
    skip: Skipping = STRICT,
    columns: Columns | None = None,
) -> Found:
    """Read every split. ``task`` and ``labels`` matter to classifications only; all arguments as :class:`Reading`'s.

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
    reading = Reading(style, labels or _options(rows), task, skip)
    read = {split: read_rows(found, reading) for split, found in rows.items()}
    for split, found in read.items():
        if found.unanswered:
            why = "marked as having no label or answer, or nothing to learn"
            notes.append(f"{found.unanswered} {split} rows left out: {why}")
        notes.extend(f"{split}: {note}" for note in found.bad)
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
    if "test" not in rows:
        return ()
    trained = {composed(label) for label in labels_in(rows["train"])}
    return tuple(label for label in _one_spelling(labels_in(rows["test"])) if composed(label) not in trained)


def _one_spelling(labels: set[str]) -> list[str]:
    """Each label once, sorted: where the rows spell its letters in two ways, the composed one."""
    spelled: dict[str, str] = {}
    for label in sorted(labels, key=lambda label: (label != composed(label), label)):
        spelled.setdefault(composed(label), label)
    return sorted(spelled.values())


def _options(rows: dict[str, Rows]) -> tuple[str, ...]:
    """Every label of a classification in order; numbers in the order of numbers."""
    found = _one_spelling(set().union(*(labels_in(part) for part in rows.values())))
    if len(found) > MOST_LABELS:
        form = form_of(rows["train"])
        asked, column = form.columns[0], form.label
        raise UsageError(
            f"{rows['train'][0][0]}: {column!r} has {len(found):,} different values, too many to choose from; for free "
            f"answers name the columns prompt and completion, or say --columns question={asked},answer={column}"
        )
    return tuple(sorted(found, key=lambda label: (int(label), label) if label.isdecimal() else (0, label)))
