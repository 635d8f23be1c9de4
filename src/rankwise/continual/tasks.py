"""The tasks of a stream, loaded: training examples, test examples, and a fingerprint of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rankwise.continual.stream import Stream, Task
from rankwise.data import Encoded, InputForm, Limits, Splits, load_data
from rankwise.data.load import fingerprint
from rankwise.data.unicode import composed
from rankwise.errors import UsageError
from rankwise.models import Base, fitted

SELECTION = 2  # examples the engine scores at the end of a task; a stream chooses nothing by them


@dataclass(frozen=True, eq=False)
class Loaded:
    """One task.

    Attributes:
        fingerprint: of all ids and masks, training and test.
        notes: what a reader should know about the data.
        form: how its training data are written, if they all are alike.
    """

    task: Task
    train: tuple[Encoded, ...]
    selection: tuple[Encoded, ...]
    test: tuple[Encoded, ...]
    fingerprint: str
    notes: tuple[str, ...]
    form: InputForm | None = None

    @property
    def tested(self) -> str:
        """Fingerprint of the test examples alone."""
        return fingerprint(self.test)


def load_tasks(config: Stream, base: Base) -> dict[str, Loaded]:
    """Load every task of the stream.

    Raises:
        UsageError: a task's data are missing, empty, too few, or test on labels that nothing trains; or the warm-up is
            longer than a task of so many examples. The sentence names the task.
    """
    return {task.id: _load(config, task, base) for task in config.tasks}


def _load(config: Stream, task: Task, base: Base) -> Loaded:
    limits = Limits(task.train or config.train, SELECTION, task.test or config.test)
    try:
        own = _splits(config, task, task.data, base, limits)
        tested = own if task.evaluation is None else _splits(config, task, task.evaluation, base, limits)
    except UsageError as error:
        raise UsageError(f"task {task.id!r}: {error}") from None
    if tested.unseen:
        raise UsageError(
            f"task {task.id!r}: {task.evaluation or task.data} tests on labels that none of its training rows has: "
            f"{', '.join(tested.unseen)}; correct them, or list every label in a labels.json beside the files."
        )
    if not own.train:
        raise UsageError(f"task {task.id!r} has no training example left; give it data, or take it out of the stream.")
    if len(tested.test) < 2:
        raise UsageError(f"task {task.id!r} has {len(tested.test)} test examples; its score needs at least 2.")
    steps = config.steps_of(task, len(own.train))
    if config.warmup > steps:
        raise UsageError(
            f"task {task.id!r}: a warm-up of {config.warmup} steps is longer than the {steps} steps that its "
            f"{len(own.train)} training examples make; shorten the warm-up, or give the task more epochs."
        )
    notes = tuple(f"{task.id}: {note}" for note in dict.fromkeys((*own.notes, *tested.notes, *_quiet(config, steps))))
    seen = {_text(example, base) for example in own.train}
    if leaked := sum(_text(example, base) in seen for example in tested.test):
        notes += (f"{task.id}: {leaked} test examples are also training examples",)
    return Loaded(task, own.train, own.selection, tested.test, fingerprint(own.train, tested.test), notes, own.form)


def _text(example: Encoded, base: Base) -> str:
    """What an example says, by which it is known again: the ids of one text may differ."""
    return composed(base.tokenizer.decode(example.input_ids))


def _quiet(config: Stream, steps: int) -> list[str]:
    """Say that the stream's event never comes while a task is learned, when its cadence is longer than the task."""
    event = config.own_event()
    if event is None or not (every := event.interval or event.passes):
        return []
    unit = "micro-batches" if event.passes else "steps"
    length = steps if event.interval else steps * -(-config.batch // min(config.micro_batch, config.batch))
    if every < length or (every == length and not (event.spares_last or event.acts_after_last)):
        return []
    instead = "it comes at its end only" if event.acts_after_last else "it never comes"
    return [f"an event every {every} {unit} does not fall inside this task of {length}: {instead}"]


def _splits(config: Stream, task: Task, data: str, base: Base, limits: Limits) -> Splits:
    splits = load_data(
        data,
        base.tokenizer,
        seed=config.data_seed,
        limits=limits,
        max_length=config.max_length,
        system=task.prompt,
        columns=task.columns,
    )
    return fitted(base, splits)


def to_train(name: str, examples: Sequence[Encoded], selection: tuple[Encoded, ...]) -> Splits:
    """Return splits for a run that is scored elsewhere."""
    train = tuple(examples)
    return Splits(train, selection, (), name, (), fingerprint(train, selection))
