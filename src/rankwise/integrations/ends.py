"""``generation_config.json`` beside exported weights: other programs then stop where replies ended in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rankwise.data.ends import end_ids
from rankwise.files import write_json
from rankwise.models.folder import TOKENIZER_FILES
from rankwise.models.quiet import quiet
from rankwise.reading import read_object

NAME = "generation_config.json"


def write_ends(folder: Path, tokenizer: Any, model: Any) -> tuple[str, ...]:
    """Name every end of a reply in ``folder``, beside what its generation config says (else that of ``model``).

    A file that names them all is left as it is.

    Returns:
        The tokens that it did not name before.
    """
    path = folder / NAME
    if path.is_file():
        stated = read_object(path)
    else:
        own = getattr(model, "generation_config", None)
        stated = own.to_diff_dict() if own is not None else {}
    stated.pop("_from_model_config", None)  # it is no longer what the model's config says
    named = stated.get("eos_token_id")
    named = list(named) if isinstance(named, list) else [] if named is None else [named]
    added = [end for end in end_ids(tokenizer) if end not in named]
    if added or not path.is_file():
        ends = [*named, *added]
        write_json(path, {**stated, "eos_token_id": ends[0] if len(ends) == 1 else ends})
    return tuple(tokenizer.convert_ids_to_tokens(added))


def tokenizer_in(folder: Path) -> Any:
    """Return the tokenizer of a model folder; None when it has none that can be read."""
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return None
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception:  # its files can be wrong in many ways, and the library in Rust raises plain ones
        return None
