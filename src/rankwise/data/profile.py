"""What a person should know about data before paying for training: lengths, cuts, duplicates, and what looks wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rankwise.data.examples import Encoded, Example, ExampleSplits
from rankwise.data.render import encode_all, shorten
from rankwise.data.unicode import composed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPLITS = ("train", "selection", "test")
SAMPLE = 400  # examples tokenized per split; splits are in random order, so the first ones are a fair sample
MANY = 0.05  # a share that deserves a warning
FEW = {"train": 50, "selection": 10, "test": 30}
SHORT = 4  # targets, the end-of-turn token included
SAME_ANSWER = 0.9


@dataclass(frozen=True)
class Spread:
    """Median, 95th percentile, largest and smallest of some counts (nearest rank)."""

    median: int
    p95: int
    longest: int
    shortest: int

    @classmethod
    def of(cls, counts: list[int]) -> Spread:
        """Of at least one count."""
        ranked = sorted(counts)
        last = len(ranked) - 1
        return cls(ranked[last // 2], ranked[-(-last * 95 // 100)], ranked[-1], ranked[0])


@dataclass(frozen=True)
class SplitProfile:
    """One split: ``examples`` are all there are, the rest is about the ``measured`` ones.

    Attributes:
        tokens: whole examples, before any cut. None when nothing is to be learned in any.
        targets: tokens trained on, before any cut.
        cut: examples that lose targets at the maximum length, but not all.
        dropped: examples that lose all targets.
        repeats: examples whose text an earlier one of the split already has, over all examples.
    """

    examples: int
    measured: int
    tokens: Spread | None
    targets: Spread | None
    cut: int
    dropped: int
    repeats: int


@dataclass(frozen=True)
class Profile:
    """All splits, duplicates between them, and sentences about what looks wrong.

    Attributes:
        max_length: tokens an example may have.
        leaked: examples removed because a held-out split has them too.
        same_prompt: held-out examples whose prompt is in train with another reply.
        first: the first training example as it will be trained on.
        notes: what is not used, and which examples are left out.
    """

    splits: dict[str, SplitProfile]
    max_length: int
    leaked: int
    same_prompt: int
    first: Encoded
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def profile(
    examples: ExampleSplits,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    sample: int = SAMPLE,
) -> Profile:
    """Measure. Raises UsageError as :func:`encode_all` does, ValueError when no sampled train example can be learned.

    Call ``encode_split`` first for a sentence about a set whose labels are all masked.
    """
    splits: dict[str, SplitProfile] = {}
    first: Encoded | None = None
    notes: list[str] = []
    for name in SPLITS:
        found: tuple[Example, ...] = getattr(examples, name)
        whole, told = encode_all(found[:sample], tokenizer, split=name, skip=examples.skip)
        notes.extend(told)
        short = [full and shorten(full.input_ids, full.target_mask, max_length) for full in whole]
        if name == "train":
            first = next((encoded for encoded in short if encoded is not None), None)
        kept = [full for full in whole if full is not None]
        splits[name] = SplitProfile(
            examples=len(found),
            measured=len(whole),
            tokens=Spread.of([len(full.input_ids) for full in kept]) if kept else None,
            targets=Spread.of([full.targets for full in kept]) if kept else None,
            cut=sum(part is not None and part != full for part, full in zip(short, whole, strict=True)),
            dropped=sum(part is None for part in short),
            repeats=len(found) - len({example.text for example in found}),
        )
    if first is None:
        raise ValueError("no training example has a token to learn")
    same_prompt = _same_prompt(examples)
    said = (*_about_lengths(splits, max_length), *_about_content(examples, splits, same_prompt))
    return Profile(splits, max_length, examples.leaked, same_prompt, first, said, tuple(notes))


def _prompt(example: Example) -> str:
    return replace(example, messages=example.messages[:-1]).text


def _same_prompt(examples: ExampleSplits) -> int:
    """Held-out examples whose prompt, but not whose whole text, is in train."""
    texts = {example.text for example in examples.train}
    prompts = {_prompt(example) for example in examples.train}
    held_out = (*examples.selection, *examples.test)
    return sum(_prompt(example) in prompts and example.text not in texts for example in held_out)


def _about_lengths(splits: dict[str, SplitProfile], max_length: int) -> list[str]:
    said = []
    if any(split.cut > MANY * split.measured for split in splits.values()):
        longest = max(split.tokens.longest for split in splits.values() if split.tokens)
        counts = ", ".join(f"{split.cut:,} of {split.measured:,} {name}" for name, split in splits.items())
        said.append(
            f"{counts} examples are cut at {max_length} tokens and lose the end of their reply; "
            f"the longest has {longest:,}: use --max-length {longest}"
        )
    if any(split.dropped > MANY * split.measured for split in splits.values()):
        counts = ", ".join(f"{split.dropped:,} of {split.measured:,} {name}" for name, split in splits.items())
        said.append(f"{counts} examples are dropped: no token to learn within {max_length} tokens")
    targets = splits["train"].targets
    if targets is not None and targets.median <= SHORT:
        said.append(
            f"replies are short ({targets.median} tokens in the median, with the end-of-turn token): "
            "each example says little, so plan for more test examples"
        )
    return said


def _about_content(examples: ExampleSplits, splits: dict[str, SplitProfile], same_prompt: int) -> list[str]:
    said = []
    for name, split in splits.items():
        if split.examples < FEW[name]:
            said.append(f"only {split.examples} {name} examples; below {FEW[name]} the intervals are very wide")
        if split.repeats > MANY * split.examples:
            said.append(f"{split.repeats:,} of {split.examples:,} {name} examples repeat an earlier one word for word")
    if examples.leaked:
        said.append(f"{examples.leaked:,} examples were in a held-out split too; they were removed from training")
    if same_prompt:
        said.append(f"{same_prompt:,} held-out prompts are also in train with another reply: is the split clean?")
    replies = Counter(composed(example.messages[-1].content) for example in examples.train)
    (reply, count), total = replies.most_common(1)[0], len(examples.train)
    if total > 1 and count > SAME_ANSWER * total:
        said.append(f"{count:,} of {total:,} training examples have the same reply ({reply[:40]!r})")
    return said
