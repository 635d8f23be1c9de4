"""What lies beside an adapter (or a model made with one) and decides how its input is written.

``rankwise_input.json`` is ours: the form of its training data. A tokenizer and a chat template may lie there as other
trainers put them; they are used in place of the base's when they say something else.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rankwise.digests import DamagedError, sealed, unsealed
from rankwise.errors import UsageError
from rankwise.files import write_json
from rankwise.models.folder import TOKENIZER_FILES, reason_of
from rankwise.models.quiet import quiet
from rankwise.reading import read_object, read_text

if TYPE_CHECKING:
    from rankwise.data import InputForm

FORM, TEMPLATE, SETTINGS = "rankwise_input.json", "chat_template.jinja", "tokenizer_config.json"
_OTHERS = (SETTINGS, "special_tokens_map.json", "added_tokens.json", "merges.txt", "chat_template.json")
TOKENIZER = (*TOKENIZER_FILES, *_OTHERS, TEMPLATE)
_SAMPLE = "On Monday 48 books, (half) as many again; Trời đẹp quá!\n\n\tx = 3.14\n"


def write_form(folder: Path, form: InputForm | None) -> None:
    """Write the form of the training data into ``folder``, if they had one."""
    if form is not None:
        write_json(folder / FORM, sealed(asdict(form)))


def read_form(folder: Path) -> InputForm | None:
    """Return the form that lies in ``folder``; None when there is none.

    Raises:
        UsageError: the file is not one of ours.
    """
    from rankwise.data import CompletionStyle, InputForm

    path = folder / FORM
    if not path.is_file():
        return None
    try:
        form = InputForm(**unsealed(read_object(path)))
    except (DamagedError, TypeError) as error:
        raise UsageError(f"{path} cannot be read ({reason_of(error)}); copy it again, or remove it") from None
    system = form.system is None or isinstance(form.system, str)
    if not (isinstance(form.chat, bool) and system and form.completion_style in get_args(CompletionStyle)):
        raise UsageError(f"{path} does not say how input is written; copy it again, or remove it")
    return form


def tokenizer_beside(folder: Path, base: Any, rows: int) -> tuple[Any, tuple[str, ...]]:
    """Return the tokenizer that an adapter's input is written with, and a sentence for what is not the base's.

    Args:
        folder: the adapter's.
        base: tokenizer of the base.
        rows: of the base's embedding.

    Raises:
        UsageError: a tokenizer lies there that cannot be read, or that has ids without a row.
    """
    template = _template(folder)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        if template is None or template == base.chat_template:
            return base, ()
        import copy

        own = copy.deepcopy(base)
        own.chat_template = template
        return own, (f"input is written by the chat template in {folder}, not by the base's",)
    own = _load(folder)
    largest = max(own.get_vocab().values())
    if largest >= rows and own.get_vocab() != base.get_vocab():
        raise UsageError(
            f"the tokenizer in {folder} has ids up to {largest:,}, but the base's embedding has {rows:,} rows: tokens "
            "were added to it; give with --base or --model the base with its embedding resized for them"
        )
    if template is not None:
        own.chat_template = template
    if own.pad_token is None:
        own.pad_token = own.eos_token
    parts = {
        "tokenizer": _reads(own) != _reads(base),
        "chat template": own.chat_template != base.chat_template and own.chat_template is not None,
    }
    if own.chat_template is None:
        own.chat_template = base.chat_template
    different = [name for name, differs in parts.items() if differs]
    if not different:
        return base, ()
    return own, (f"input is written by the {' and the '.join(different)} in {folder}, not by the base's",)


def carry(source: Path, target: Path, names: Iterable[str] = (FORM, *TOKENIZER)) -> None:
    """Copy what decides how input is written from one folder to another."""
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def put_input(adapter: Path, base: Path, model: Path, rows: int) -> tuple[str, ...]:
    """Put into the folder of a merged model what lies beside its adapter, in place of the base's; see the others.

    Returns:
        A sentence for what is not the base's.
    """
    carry(adapter, model, (FORM,))
    if not any((adapter / name).is_file() for name in TOKENIZER):
        return ()
    own, notes = tokenizer_beside(adapter, _load(base), rows)
    if notes:
        for name in TOKENIZER:
            (model / name).unlink(missing_ok=True)
        own.save_pretrained(model)
    return notes


def _template(folder: Path) -> str | None:
    """Return the one chat template in ``folder``, from the file of its own or the tokenizer's settings."""
    try:
        if (folder / TEMPLATE).is_file():
            return read_text(folder / TEMPLATE)
        for name in ("chat_template.json", SETTINGS):
            if (folder / name).is_file():
                found = read_object(folder / name).get("chat_template")
                return found if isinstance(found, str) else None
    except UsageError as error:
        raise UsageError(f"the chat template in {folder} cannot be read ({error}); copy it again") from None
    return None


def _load(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            tokenizer(_SAMPLE)  # some of its settings are looked at only now
            return tokenizer
    except Exception as error:  # its files can be wrong in many ways
        raise UsageError(
            f"the tokenizer in {folder} cannot be read ({reason_of(error)}); copy all its files there, "
            f"{SETTINGS} among them, or remove them to use the base's"
        ) from error


def _reads(tokenizer: Any) -> tuple[Any, ...]:
    """What a tokenizer makes of text, as far as two can be told apart."""
    return tokenizer.get_vocab(), tokenizer.eos_token, tokenizer(_SAMPLE)["input_ids"]
