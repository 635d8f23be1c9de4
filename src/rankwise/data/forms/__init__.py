"""The shapes of row we can read, recognized by their column names in any letter case."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rankwise.data.bad_rows import BadRow, settle
from rankwise.data.examples import Example
from rankwise.data.forms import (
    alpaca,
    choice,
    classification,
    mawps,
    messages,
    preference,
    prompt_completion,
    question_answer,
    sharegpt,
    squad,
    svamp,
)
from rankwise.data.forms.pairs import pair
from rankwise.data.forms.proposal import propose
from rankwise.data.forms.reading import Reading
from rankwise.errors import UsageError

Row = Mapping[str, Any]  # column names in lower case
Rows = list[tuple[str, Mapping[str, Any]]]  # each row with its place, such as "a.jsonl line 3"


@dataclass(frozen=True)
class Form:
    """One shape of row: its name, the columns it needs, how a row becomes an example, and columns it may also read.

    ``build`` returns None for a row that is marked as having no answer. ``label`` is a classification's column of
    labels, ``note`` what a reader of the report should know of the form.
    """

    name: str
    columns: tuple[str, ...]
    build: Callable[[Row, str, Reading], Example | None]
    optional: tuple[str, ...] = ()
    label: str = ""
    note: str = ""


TRIED = 20  # rows whose columns may tell the form; the first ones may be the odd ones
# First match wins, so a form stands before any form whose columns it contains.
FORMS = (
    Form("messages", ("messages",), messages.build, ("tools",)),
    Form("sharegpt", ("conversations",), sharegpt.build, ("system", "tools")),
    Form("prompt/completion", ("prompt", "completion"), prompt_completion.build),
    Form("alpaca", ("instruction", "output"), alpaca.build, ("input", "system")),
    Form("xcopa", ("premise", "choice1", "choice2", "question", "label"), choice.build),
    Form("mawps", ("question", "numbers", "equation", "answer"), mawps.build),
    Form("svamp", ("body", "question", "equation", "answer"), svamp.build),
    Form("question/explanation/answer", ("question", "explanation", "answer"), question_answer.build_explained),
    Form("question/answer", ("question", "answer"), question_answer.build),
    Form("sentence/label", ("sentence", "label"), classification.build, label="label"),
    Form("text/label", ("text", "label"), classification.build, label="label"),
    Form(
        "prompt/chosen", ("prompt", "chosen"), preference.asked("prompt"), ("rejected", "system"), note=preference.NOTE
    ),
    Form(
        "question/chosen",
        ("question", "chosen"),
        preference.asked("question"),
        ("rejected", "system"),
        note=preference.NOTE,
    ),
    Form("chosen/rejected", ("chosen", "rejected"), preference.build, note=preference.NOTE),
    Form("squad", ("context", "question", "answers"), squad.build),
    Form("instruction/response", ("instruction", "response"), pair("instruction", "response"), ("context", "system")),
    Form("prompt/response", ("prompt", "response"), pair("prompt", "response"), ("context", "system")),
    Form("input/output", ("input", "output"), pair("input", "output"), ("context", "system")),
    Form("input/target", ("input", "target"), pair("input", "target"), ("context", "system")),
    Form("text/category", ("text", "category"), classification.build_category, label="category"),
)


@dataclass(frozen=True)
class Read:
    """Examples of one split, the form they came in, columns left unread, rows without an answer, notes on bad ones."""

    examples: tuple[Example, ...]
    form: str
    unread: tuple[str, ...] = ()
    unanswered: int = 0
    bad: tuple[str, ...] = ()
    note: str = ""


def detect(row: Mapping[str, Any], where: str) -> Form:
    """The form whose columns ``row`` has. Raises UsageError with what was found, may be meant, and can be typed."""
    columns = [str(column) for column in row]
    lowered = {column.lower() for column in columns}
    for form in FORMS:
        if lowered.issuperset(form.columns):
            return form
    accepted = "; ".join(", ".join(form.columns) for form in FORMS if len(form.columns) <= 2)
    known = sorted({column for form in FORMS for column in form.columns})
    near = []
    for column in sorted(lowered.difference(known)):
        for match in difflib.get_close_matches(column, known, n=1, cutoff=0.7):
            near.append(f"{column!r} is close to {match!r}")
    proposed = propose(row)
    raise UsageError(
        f"{where}: cannot tell what the columns mean; found {', '.join(columns) or 'none'}; "
        + (f"say it, as with {proposed}; " if proposed else "")
        + f"accepted sets: {accepted}"
        + (f". Perhaps rename: {', '.join(near)}" if near else "")
    )


def lower_keys(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Column names in lower case. Raises UsageError when two columns differ only in case."""
    lowered = {str(key).lower(): value for key, value in row.items()}
    if len(lowered) < len(row):
        raise UsageError(f"{where}: two columns differ only in letter case: {', '.join(map(str, row))}; rename one")
    return lowered


def labels_in(rows: Rows) -> set[str]:
    """Distinct labels of rows in a classification form; nothing for other forms."""
    column = form_of(rows).label
    if not column:
        return set()
    found: set[str | None] = set()
    for where, row in rows:
        with suppress(UsageError):  # reading the rows tells of it, with all others
            found.add(classification.label_of(lower_keys(row, where).get(column), (), where, column))
    return {label for label in found if label is not None}


def form_of(rows: Rows) -> Form:
    """The form of the first row that has one, near the top. Raises UsageError about the first row when none has."""
    faults = []
    for where, row in rows[:TRIED]:
        try:
            if isinstance(row, BadRow):
                raise row.error
            return detect(row, where)
        except UsageError as error:
            faults.append(error)
    raise faults[0]


def read_rows(rows: Rows, reading: Reading) -> Read:
    """Read rows that share one form, found from the first row.

    Raises UsageError naming the row that cannot be read and how many there are (``reading.skip`` leaves them out), or
    when no row has an answer.
    """
    form = form_of(rows)
    unread: dict[str, None] = {}
    examples = []
    faults = []
    for where, row in rows:
        try:
            example = form.build(_columns(form, row, where), where, reading)
        except UsageError as error:
            faults.append(error)
            continue
        unread.update(dict.fromkeys(key for key in row if key.lower() not in form.columns + form.optional))
        if example is not None:
            examples.append(example)
    bad = settle(faults, len(rows), "rows", reading.skip)
    if not examples:
        raise UsageError(f"{rows[0][0]}: neither this row nor any after it has an answer; give rows with labels")
    return Read(tuple(examples), form.name, tuple(unread), len(rows) - len(faults) - len(examples), bad, form.note)


def _columns(form: Form, row: Mapping[str, Any], where: str) -> Row:
    """The row by lower-case names. Raises UsageError when it lacks a column of its form."""
    if isinstance(row, BadRow):
        raise row.error
    lowered = lower_keys(row, where)
    if missing := [column for column in form.columns if column not in lowered]:
        raise UsageError(
            f"{where}: column {missing[0]!r} is missing; the others have {', '.join(form.columns)}, "
            f"this one has {', '.join(row) or 'none'}"
        )
    return lowered
