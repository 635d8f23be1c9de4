"""One door to all data: a name, a file, a folder or a hub id becomes three tokenized splits."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rankwise.data.bad_rows import PREFIX, Skipping
from rankwise.data.code_book import code_book
from rankwise.data.columns import Columns, parse_columns
from rankwise.data.examples import CompletionStyle, Encoded, Example, ExampleSplits, Limits, Message, Splits
from rankwise.data.files import SUFFIXES, load_path
from rankwise.data.hub import ID, load_hub
from rankwise.data.reasoning_gym import PREFIX as REASONING_GYM
from rankwise.data.reasoning_gym import reasoning_gym
from rankwise.data.render import date_note, encode_split
from rankwise.data.splitting import Found, three_splits
from rankwise.data.town_crier import town_crier
from rankwise.data.word_problems import LANGUAGES, word_problems
from rankwise.errors import UsageError, unknown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WORD_PROBLEMS = "word-problems"
CODE_BOOK = "code-book"
TOWN_CRIER = "town-crier"
NAMES = (WORD_PROBLEMS, *(f"{WORD_PROBLEMS}:{code}" for code in LANGUAGES), CODE_BOOK, TOWN_CRIER)
FILE_ENDINGS = (*SUFFIXES, ".tsv", ".txt", ".arrow", ".gz", ".zip")  # a missing file, not a hub id


def load_data(
    spec: str,
    tokenizer: PreTrainedTokenizerBase,
    *,
    seed: int = 0,
    limits: Limits | None = None,
    max_length: int = 256,
    completion_style: CompletionStyle = "hashes",
    system: str | None = None,
    columns: str | Columns | None = None,
    only_test: bool = False,
) -> Splits:
    """Load, split and tokenize ``spec``.

    ``spec`` is one of ``NAMES``, ``reasoning-gym:GENERATOR``, a local .json, .jsonl, .csv or .parquet file, a folder
    with train/test files, or a hub id ``owner/name[:config]``. ``max_length`` counts tokens. ``system`` is put before
    conversations that have no system message and replaces the generated data's own. ``skip-bad-rows:`` before a
    file, folder or hub id leaves out rows that cannot be read or written by the chat template, and says how many.
    ``columns`` says which of a file's columns, or which template, is read as what (:mod:`rankwise.data.columns`).
    ``only_test`` tokenizes, and speaks of, the test split only. Raises UsageError for anything a person can correct.
    """
    limits = Limits() if limits is None else limits
    _check(limits, max_length, completion_style)
    examples = load_examples(
        spec, seed=seed, limits=limits, completion_style=completion_style, system=system, columns=columns
    )
    notes = list(examples.notes)
    encoded: dict[str, tuple[Encoded, ...]] = {"train": (), "selection": ()}
    for split in ("test",) if only_test else ("train", "selection", "test"):
        encoded[split], said = encode_split(
            getattr(examples, split), tokenizer, max_length=max_length, split=split, skip=examples.skip
        )
        notes.extend(said)
    notes.extend(date_note((*examples.train, *examples.selection, *examples.test), tokenizer))
    train, selection, test = encoded["train"], encoded["selection"], encoded["test"]
    return Splits(train, selection, test, spec, tuple(notes), fingerprint(train, selection, test), examples.unseen)


def load_test(
    spec: str,
    tokenizer: PreTrainedTokenizerBase,
    examples: int,
    *,
    seed: int = 0,
    max_length: int = 256,
    columns: str | Columns | None = None,
) -> Splits:
    """Load at most ``examples`` of the test split, which do not depend on the sizes of the other splits.

    The notes are about what that split lost, and how it came to be. Raises as :func:`load_data` does.
    """
    limits = Limits(16, 8, examples) if is_generated(spec) else Limits(None, None, examples)
    return load_data(spec, tokenizer, seed=seed, limits=limits, max_length=max_length, columns=columns, only_test=True)


def load_examples(
    spec: str,
    *,
    seed: int = 0,
    limits: Limits | None = None,
    completion_style: CompletionStyle = "hashes",
    system: str | None = None,
    columns: str | Columns | None = None,
) -> ExampleSplits:
    """The three splits of :func:`load_data` before tokenization."""
    limits = Limits() if limits is None else limits
    if columns is not None:
        columns = parse_columns(columns)
        if is_generated(spec):
            raise UsageError(
                f"columns are about the rows of a file or a hub data set, but {spec} is made here; leave them out"
            )
    name, _, code = spec.partition(":")
    if spec in NAMES and name == WORD_PROBLEMS:
        codes = (code,) if code else tuple(LANGUAGES)
        return word_problems(codes, limits, seed=seed, style=completion_style, system=system)
    if spec == CODE_BOOK:
        splits = code_book(limits, seed=seed, system=system)
    elif spec == TOWN_CRIER:
        splits = town_crier(limits, seed=seed, system=system)
    elif spec.startswith(REASONING_GYM):
        generator = spec.removeprefix(REASONING_GYM)
        splits = reasoning_gym(generator, limits, seed=seed, style=completion_style, system=system)
    else:
        splits = _with_system(three_splits(_find(spec, completion_style, columns), limits, seed), system)
    return _with_style_note(replace(splits, skip=Skipping.of(spec)), completion_style)


def is_generated(spec: str) -> bool:
    """Whether ``spec`` names data made on the spot, of which there is no "all"."""
    return spec in NAMES or spec.startswith(REASONING_GYM)


def _find(named: str, style: CompletionStyle, columns: Columns | None) -> Found:
    """Examples of a path or a hub id. A local path wins over a hub id of the same spelling."""
    skip = Skipping.of(named)
    spec = skip.data
    if skip.on and is_generated(spec):
        raise UsageError(f"{spec} is made here and has no bad rows; leave {PREFIX} out")
    try:
        path = Path(spec).expanduser()
        there = bool(spec.strip()) and path.exists()
    except (OSError, RuntimeError) as error:  # a name too long for the system; ~somebody without a home
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(f"data {spec[:80]!r} cannot be used as a path: {reason}; give a file or a folder") from error
    if there:
        return load_path(path, style, skip, columns)
    if ID.fullmatch(spec) and path.suffix.lower() not in FILE_ENDINGS:
        return load_hub(spec, style, skip, columns)
    if path.name != spec or path.suffix.lower() in FILE_ENDINGS:
        raise UsageError(f"no such file or folder: {spec}{_near(path)}; check the path (now in {Path.cwd()})")
    names = (*NAMES, f"{REASONING_GYM}gsm_symbolic")
    raise unknown("data", spec, names, hint=f"Or give a {'/'.join(SUFFIXES)} file, a folder, or a hub id owner/name")


def _near(path: Path) -> str:
    """A question about the file that may have been meant."""
    try:
        names = [child.name for child in path.parent.iterdir()]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.parent / close[0]}?" if close else ""


def _check(limits: Limits, max_length: int, style: str) -> None:
    for split in ("train", "selection", "test"):
        limit = getattr(limits, split)
        if limit is not None and limit < 1:
            raise UsageError(f"limits.{split} must be at least 1, found {limit}")
    if max_length < 2:
        raise UsageError(f"max_length must be at least 2 tokens (one to read, one to predict), found {max_length}")
    if style not in get_args(CompletionStyle):
        raise unknown("completion style", style, get_args(CompletionStyle))


def _with_system(splits: ExampleSplits, system: str | None) -> ExampleSplits:
    """Put a system message before every conversation that has none; say how many have their own."""
    if system is None:
        return splits
    own = 0

    def opened(example: Example) -> Example:
        nonlocal own
        if not example.chat:
            raise UsageError("a system message needs conversations, but these rows are plain prompt/completion text")
        if any(message.role == "system" for message in example.messages):
            own += 1
            return example
        return replace(example, messages=(Message("system", system), *example.messages))

    train, selection, test = (
        tuple(opened(example) for example in split) for split in (splits.train, splits.selection, splits.test)
    )
    said = (f"{own} examples keep the system message of their own",) if own else ()
    return replace(splits, train=train, selection=selection, test=test, notes=splits.notes + said)


def _with_style_note(splits: ExampleSplits, style: CompletionStyle) -> ExampleSplits:
    if style != "think":
        return splits
    examples = splits.train + splits.selection + splits.test
    without = sum(not example.messages[-1].content.startswith("<think>") for example in examples)
    if not without:
        return splits
    note = f"completion style think leaves {without} examples as they are: they have no worked solution of their own"
    return replace(splits, notes=(*splits.notes, note))


def fingerprint(*splits: tuple[Encoded, ...]) -> str:
    """SHA-256 (hex) of all ids and masks, in order, with the borders of examples and splits."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(f"split {len(split)}\n".encode())
        for encoded in split:
            pairs = zip(encoded.input_ids, encoded.target_mask, strict=True)
            digest.update((" ".join(f"{token}{'+' if target else '-'}" for token, target in pairs) + "\n").encode())
    return digest.hexdigest()


def preview(encoded: Encoded, tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, bool]]:
    """Each token as text and whether it is a target. A character of several tokens shows at its last one.

    A token is decoded after the one before it: tokenizers of the sentencepiece kind drop the space that begins a text.
    """

    def decoded(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    shown: list[tuple[str, bool]] = []
    before: list[int] = []
    pending: list[int] = []
    for token, target in zip(encoded.input_ids, encoded.target_mask, strict=True):
        pending.append(token)
        known, text = decoded(before), decoded(before + pending)
        text = text.removeprefix(known) if text.startswith(known) else decoded(pending)
        if text.endswith("\ufffd") and len(pending) < 4:  # UTF-8 needs at most 4 bytes for a character
            shown.append(("", target))
        else:
            shown.append((text, target))
            before, pending = pending, []
    return shown
