"""One door to every base: the default, a tiny random one, a folder, or the hub."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rankwise.errors import UsageError, unknown
from rankwise.models.base import Base, fingerprint
from rankwise.models.byte_tokenizer import byte_tokenizer
from rankwise.models.calls import read_only_note
from rankwise.models.default import NAME, load_default
from rankwise.models.folder import load_folder
from rankwise.models.hub import load_hub
from rankwise.models.tiny import tiny_model

if TYPE_CHECKING:
    import torch

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load_base(
    name: str | None = None,
    *,
    dtype: torch.dtype | Literal["stored"] | None = None,
    device: str | torch.device = "cpu",
    progress: Callable[[str], None] | None = None,
) -> Base:
    """Load a base, frozen and in eval mode.

    Args:
        name: None or ``default`` for SmolLM2-135M-Instruct, ``tiny`` for a random tiny Llama with a byte
            tokenizer, a folder in the Hugging Face layout, or a hub id ``owner/name``. A folder wins over a
            hub id of the same spelling.
        dtype: of the parameters, bfloat16 when left out; ``stored`` for one that holds every value of the files.
        device: where to put it.
        progress: called with one sentence before a step that takes seconds; nothing is printed here.

    Raises:
        UsageError: no such model, its files cannot be used, or it does not read left to right; the message says what
            to do.
    """
    import torch

    from rankwise.models.probe import look

    place = _device(device)
    base = _load(name, None if dtype == "stored" else dtype or torch.bfloat16, progress)
    base.model.requires_grad_(False)
    base.model.eval()
    base.model.to(place)
    if base.name == "tiny":
        return base
    note = read_only_note(base.model)
    return replace(base, positions=look(base.model, base.name), notes=(*base.notes, *([note] if note else [])))


def _load(name: str | None, dtype: torch.dtype | None, progress: Callable[[str], None] | None) -> Base:
    if name is None or name in ("default", NAME):
        return load_default(dtype, progress)
    if name == "tiny":
        model = tiny_model(dtype=dtype)
        note = "The base is a tiny random model: its numbers say nothing about real ones."
        return Base(model, byte_tokenizer(), name, fingerprint(model), (note,))
    path = Path(name).expanduser()
    if path.is_dir():
        model, tokenizer, notes = load_folder(path, dtype)
    elif path.exists():
        raise UsageError(f"the model {name} is a file; give the folder with config.json, or a hub id owner/name")
    elif _HUB_ID.fullmatch(name) and not name.startswith("."):
        if progress is not None:
            progress(f"Loading {name} from the Hugging Face hub")
        try:
            model, tokenizer, notes = load_hub(name, dtype)
        except UsageError as error:
            raise UsageError(f"{error}{_near(path)}") from error  # `runs/best` looks like a hub id too
    elif "/" in name:
        raise UsageError(f"the model folder {name} does not exist{_near(path)}; give a folder or a hub id owner/name")
    else:
        folders = [child.parent.name for child in Path().glob("*/config.json")]
        raise unknown("model", name, ["default", "tiny", NAME, *folders], hint="A hub id is owner/name")
    _check_finite(model, name)
    return Base(model, tokenizer, name, fingerprint(model), notes)


def _check_finite(model: torch.nn.Module, name: str) -> None:
    """Raise if a weight holds NaN or infinity: every score of such a model would be NaN."""
    for path, parameter in model.named_parameters():
        bad = parameter.numel() - int(parameter.isfinite().sum())
        if bad:
            raise UsageError(
                f"the model {name} holds {bad:,} values that are not finite in {path}; get its files again, or save "
                "it from a checkpoint that did not diverge"
            )


def _near(path: Path) -> str:
    try:
        names = [child.name for child in path.parent.iterdir() if child.is_dir()]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean the folder {path.parent / close[0]}?" if close else ""


def _device(device: str | torch.device) -> torch.device:
    import torch

    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"device {str(device)!r} cannot be used ({reason}); try cpu") from error
