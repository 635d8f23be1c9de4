"""An adapter folder opened on its base: what merging, exporting, compressing and generating start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rankwise.adapters import Handle, adapters_in, load
from rankwise.adapters.checkpoint_files import CONFIG, OURS, TENSORS, check_folder, read_json
from rankwise.data import InputForm
from rankwise.digests import states_digest
from rankwise.errors import UsageError
from rankwise.models import Base, load_base, read_form, rows_of, tokenizer_beside
from rankwise.reading import Options

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Live:
    """A base with an adapter on it.

    Attributes:
        base: model and tokenizer, the adapter attached; the tokenizer beside the adapter where there is another one.
        name: of the base, as the adapter or the person gave it.
        folder: the adapter's.
        checked: the base's fingerprint equals the one the adapter was trained on.
        form: how its training data were written, None when that is not known.
        notes: sentences on what lies beside the adapter and is used in place of the base's.
    """

    base: Base
    handle: Handle
    name: str
    folder: Path
    checked: bool
    form: InputForm | None = None
    notes: tuple[str, ...] = ()


def base_name(folder: Path, given: str | None) -> str:
    """Return the base of the adapter in ``folder``: as given, else as its config says.

    Raises:
        UsageError: not an adapter folder, or its config names no base and none is given.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no adapter folder {folder}; give the folder that holds {CONFIG}.")
    if not (folder / CONFIG).is_file():
        inside = list(adapters_in(folder))
        hint = f"did you mean {folder / inside[0]}?" if inside else f"give the folder that holds {CONFIG}."
        raise UsageError(f"{folder} holds no {CONFIG}, so it is not an adapter; {hint}")
    check_folder(folder)
    named = given or Options(read_json(folder / CONFIG), f"{folder}/{CONFIG}").text("base_model_name_or_path")
    if not named:
        raise UsageError(f"{folder}/{CONFIG} names no base model; give it with --base.")
    return named


def saved_fingerprint(folder: Path) -> str:
    """Return the fingerprint of the base the adapter was trained on, empty when it is not known."""
    path = folder / OURS
    return Options(read_json(path), str(path)).text("base_fingerprint") if path.is_file() else ""


def unverified(folder: Path) -> list[str]:
    """Return a remark when the adapter's maker stated no digest."""
    if states_digest(folder / TENSORS):
        return []
    return ["the adapter states no digest (another program or an earlier rankwise saved it): damage would not be seen"]


def trained_on(name: str, fingerprint: str, folder: Path, progress: Progress | None = None) -> tuple[Base, bool]:
    """Load base ``name`` in the dtype in which it has ``fingerprint``, and say whether that was known at all.

    A base of unknown fingerprint is loaded as its files are: nothing is rounded that the adapter may not have seen so.

    Raises:
        UsageError: the base cannot be loaded, or is another one in every dtype.
    """
    if not fingerprint:
        return load_base(name, dtype="stored", progress=progress), False
    found = []
    for dtype in (torch.bfloat16, torch.float32):  # the default first; the same weights in float32 are another base
        base = load_base(name, dtype=dtype, progress=progress)
        if base.fingerprint == fingerprint:
            return base, True
        found.append(base.fingerprint[:12])
    raise UsageError(
        f"{folder} was trained on another base: fingerprint {fingerprint[:12]}, but {name} has {found[0]} in bfloat16 "
        f"and {found[1]} in float32; give the right one with --base."
    )


def open_live(
    folder: Path,
    given: str | None = None,
    *,
    dtype: torch.dtype | None = torch.float32,
    progress: Progress | None = None,
) -> Live:
    """Load the base (weights as the adapter saw them, then widened to ``dtype``) and put the adapter on it.

    Its tokenizer is the one that the adapter's input is written with; ``progress`` hears of one beside the adapter.

    Raises:
        UsageError: wrong or unknown base, damaged adapter or tokenizer; see :func:`rankwise.load`.
    """
    name = base_name(folder, given)
    form = read_form(folder)
    base, checked = trained_on(name, saved_fingerprint(folder), folder, progress)
    tokenizer, notes = tokenizer_beside(folder, base.tokenizer, rows_of(base.model))
    if progress is not None:
        for note in notes:
            progress(note)
    model: Any = base.model if dtype is None else base.model.to(dtype)
    handle = load(model, folder)
    return Live(replace(base, model=model, tokenizer=tokenizer), handle, name, folder, checked, form, notes)
