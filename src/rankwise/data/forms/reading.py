"""What a form knows beyond the row itself."""

from __future__ import annotations

from dataclasses import dataclass

from rankwise.data.bad_rows import STRICT, Skipping
from rankwise.data.examples import CompletionStyle


@dataclass(frozen=True)
class Reading:
    """How to read a source's rows.

    Attributes:
        style: how a worked solution and its answer are joined.
        options: every label of a classification, in the order shown; empty for other forms.
        task: name of the folder or data set, which may tell what a classification asks.
        skip: whether rows that cannot be read are left out, instead of refusing them all.
    """

    style: CompletionStyle = "hashes"
    options: tuple[str, ...] = ()
    task: str = ""
    skip: Skipping = STRICT
