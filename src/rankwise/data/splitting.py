"""From whatever splits a source has to three clean ones: carve what is missing, remove leaks, cut to size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from rankwise.data.examples import Example, ExampleSplits, Limits
from rankwise.errors import UsageError

TEST_SHARE = 0.2  # of a source without a test split
SELECTION_SHARE = 0.1  # of the training examples


@dataclass(frozen=True)
class Found:
    """What a source holds: train always, selection and test perhaps; and how it was read.

    ``form`` is the name of the rows' shape, ``unread`` the columns that are not used, ``unseen`` the labels that
    only the test split has.
    """

    train: tuple[Example, ...]
    selection: tuple[Example, ...] | None = None
    test: tuple[Example, ...] | None = None
    notes: tuple[str, ...] = ()
    form: str = ""
    unread: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


def three_splits(found: Found, limits: Limits, seed: int) -> ExampleSplits:
    """Carve, then deduplicate, then cut. Raises UsageError when too few examples are left for a split."""
    return cut(without_leaks(carve(found, seed)), limits, seed)


def carve(found: Found, seed: int) -> ExampleSplits:
    """Take a missing test split (20 %) and a missing selection split (10 %) out of train, by a seeded shuffle.

    The shares do not depend on the limits, so asking for more examples never moves one between splits.
    """
    train, selection, test, notes = found.train, found.selection, found.test, list(found.notes)
    wanted = 1 + (selection is None) + (test is None)
    if len(train) < wanted:
        raise UsageError(
            f"too few examples: {len(train)} to divide among {wanted} splits; at least {wanted} are needed"
        )
    if wanted > 1:
        rng = Random(f"carve {seed}")
        train = tuple(rng.sample(train, len(train)))
    total = len(train)
    if test is None:
        size = max(1, round(total * TEST_SHARE))
        test, train = train[:size], train[size:]
        notes.append(f"no test split was given: {size} of {total} examples taken from train by seed {seed}")
    if selection is None:
        size = max(1, round(len(train) * SELECTION_SHARE))
        notes.append(f"no selection split was given: {size} of {len(train)} taken from train by seed {seed}")
        selection, train = train[:size], train[size:]
    known = ExampleSplits(train, selection, test, tuple(notes), form=found.form)
    return replace(known, unread=found.unread, unseen=found.unseen)


def without_leaks(splits: ExampleSplits) -> ExampleSplits:
    """Remove exact duplicates across splits: from train if also in selection or test, from selection if in test."""
    tested = {example.text for example in splits.test}
    selection = tuple(example for example in splits.selection if example.text not in tested)
    held_out = tested | {example.text for example in selection}
    train = tuple(example for example in splits.train if example.text not in held_out)
    notes = list(splits.notes)
    for name, before, after in (("train", splits.train, train), ("selection", splits.selection, selection)):
        if removed := len(before) - len(after):
            notes.append(f"{removed} {name} examples removed: exact duplicates of held-out examples")
        if not after:
            raise UsageError(f"every {name} example is also in a held-out split; give data that differ")
    removed = len(splits.train) - len(train) + len(splits.selection) - len(selection)
    return replace(splits, train=train, selection=selection, notes=tuple(notes), leaked=removed)


def cut(splits: ExampleSplits, limits: Limits, seed: int) -> ExampleSplits:
    """Keep a seeded choice of each split; a larger limit keeps the smaller choice and adds to it."""
    notes = list(splits.notes)
    kept: dict[str, tuple[Example, ...]] = {}
    for name in ("train", "selection", "test"):
        examples: tuple[Example, ...] = getattr(splits, name)
        limit: int | None = getattr(limits, name)
        order = Random(f"cut {name} {seed}").sample(examples, len(examples))
        kept[name] = tuple(order[:limit])
        if limit is not None and len(examples) < limit:
            notes.append(f"{name} has {len(examples):,} of the {limit:,} examples asked for")
    return replace(splits, train=kept["train"], selection=kept["selection"], test=kept["test"], notes=tuple(notes))
