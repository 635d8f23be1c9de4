"""A model folder in the Hugging Face layout: config.json, safetensors, tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankwise.digests import SUMS, DamagedError, check_file, check_sums
from rankwise.errors import UsageError
from rankwise.models.config_limits import check_config_sizes
from rankwise.models.quiet import quiet
from rankwise.reading import read_object
from rankwise.reading.tensor_header import read_header

if TYPE_CHECKING:
    import torch

INDEX = "model.safetensors.index.json"
GENERATION = "generation_config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


def load_folder(folder: Path, dtype: torch.dtype | None) -> tuple[Any, Any, tuple[str, ...]]:
    """Load model and tokenizer from a local folder, without running any code from it.

    Args:
        dtype: of the parameters; None for :func:`stored_dtype`.

    Returns:
        The model (CPU), the tokenizer and notes.

    Raises:
        UsageError: the folder is not a complete causal language model in safetensors; the message says why.
    """
    files = check_folder(folder)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise UsageError(
            f"{folder} holds no tokenizer (tokenizer.json); copy it there from the model it was made from, "
            f"with tokenizer.save_pretrained({str(folder)!r})"
        )
    return _load_checked(str(folder), dtype or stored_dtype(folder, files))


def stored_dtype(folder: Path, files: list[str]) -> torch.dtype:
    """Return the dtype that holds every value of a model's files: bfloat16 only if nothing is rounded by it.

    float16 becomes float32, which holds it exactly and which every processor computes with.
    """
    import torch

    kinds = {place.kind for name in files for place in read_header(folder / name).tensors.values()}
    if "F64" in kinds:
        return torch.float64
    return torch.float32 if kinds & {"F32", "F16"} else torch.bfloat16


def check_folder(folder: Path) -> list[str]:
    """Check config and weights of a model folder, and return the names of its safetensors files.

    Raises:
        UsageError: the folder is no model in safetensors, or a file is missing, damaged or outside it.
    """
    _check_config(folder)
    names = _check_weights(folder)
    _check_digests(folder, names)
    return names


def _load_checked(source: str, dtype: torch.dtype) -> tuple[Any, Any, tuple[str, ...]]:
    """Load through transformers with remote code and pickles off, and nothing left at random values."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options = {"trust_remote_code": False, "local_files_only": True}
    try:
        with quiet():
            model, info = AutoModelForCausalLM.from_pretrained(
                source,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below by name, where transformers would only print
                **options,
            )
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
            tokenizer("a")  # some of its settings are looked at only now
    except Exception as error:  # a config can be wrong in as many ways as there are architectures
        raise UsageError(f"cannot load the model {source}: {reason_of(error)}") from error
    # Transformers would fill these at random and only warn.
    absent = sorted({*info["missing_keys"], *(str(entry[0]) for entry in info["mismatched_keys"])})
    if absent:
        raise UsageError(
            f"the files of {source} lack {len(absent)} weights of a {type(model).__name__} or have them in "
            f"another shape ({absent[0]}, ...); give a complete causal language model"
        )
    notes = [f"{len(info['unexpected_keys'])} tensors in the files were not used."]
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # targets are masked by position, never by pad id
    return model, tokenizer, tuple(notes if info["unexpected_keys"] else ())


def _check_config(folder: Path) -> None:
    path = folder / "config.json"
    if path.is_file():
        config = read_object(path)
        check_config_sizes(config, path)
        if not isinstance(config.get("model_type"), str):
            raise UsageError(f"{path} names no model_type; give a folder in the Hugging Face layout")
        if (folder / GENERATION).is_file():
            read_object(folder / GENERATION)
        return
    if (folder / "adapter_config.json").is_file():
        raise UsageError(f"{folder} is an adapter, not a model; give its base, and attach the adapter to it")
    inside = sorted(child.name for child in folder.glob("*/") if (child / "config.json").is_file())
    hint = f"did you mean {folder / inside[-1]}?" if inside else "give the folder that holds config.json"
    raise UsageError(f"{folder} holds no config.json, so it is not a model in the Hugging Face layout; {hint}")


def _check_weights(folder: Path) -> list[str]:
    if (folder / INDEX).is_file():
        files = read_object(folder / INDEX).get("weight_map")
        if not isinstance(files, dict) or not files or not all(isinstance(name, str) for name in files.values()):
            raise UsageError(f"{folder / INDEX}: weight_map must give a file for every tensor; copy it again")
        names = sorted(set(files.values()))
    else:
        names = ["model.safetensors"]
    if outside := [name for name in names if Path(name).name != name or name in ("", ".", "..")]:
        raise UsageError(f"{folder / INDEX} names {outside[0]!r}, which is not a file of that folder; get it again")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing and (pickles := sorted(path.name for path in folder.glob("*.bin"))):
        raise UsageError(
            f"{folder} holds weights as {pickles[0]} only, a pickle that could run code; load it where you "
            "trust it and save it with model.save_pretrained(...), which writes safetensors"
        )
    if missing:
        raise UsageError(f"{folder} lacks {missing[0]}; copy the weights there")
    for name in names:
        kinds = {key: place.kind for key, place in read_header(folder / name).tensors.items()}
        if narrow := [key for key, kind in kinds.items() if kind.startswith(("F8_", "F6_", "F4"))]:
            raise UsageError(
                f"{folder / name}: {narrow[0]} is {kinds[narrow[0]]}, quantized; give the model it was made from"
            )
    return names


def _check_digests(folder: Path, names: list[str]) -> None:
    """Raise if files that state digests do not have them; those of other makers state none."""
    name = ""
    try:
        stated = []
        for name in names:
            stated.append(check_file(folder / name))
        name = ""
        if all(stated):  # else another program saved the model again, and its own files beside it
            check_sums(folder)
    except DamagedError as error:
        where = folder / name if name else folder
        way = "" if name else f", or, if it was changed on purpose, remove {SUMS}"
        raise UsageError(f"{where} is damaged: {error}; copy it again{way}") from None


def reason_of(error: BaseException) -> str:
    """Give the first sentence or so of an exception, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 240 else f"{text[:237]}..."
