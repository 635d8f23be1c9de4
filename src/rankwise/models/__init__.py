"""Where bases come from: the default model, tiny random ones, local folders and the Hugging Face hub."""

from rankwise.models.base import Base, fingerprint
from rankwise.models.beside import carry, put_input, read_form, tokenizer_beside, write_form
from rankwise.models.byte_tokenizer import byte_tokenizer
from rankwise.models.calls import read_only_layers
from rankwise.models.fits import check_rows, fitted, rows_of
from rankwise.models.load import load_base
from rankwise.models.tiny import tiny_model
from rankwise.models.where import folder_of

__all__ = [
    "Base",
    "byte_tokenizer",
    "carry",
    "check_rows",
    "fingerprint",
    "fitted",
    "folder_of",
    "load_base",
    "put_input",
    "read_form",
    "read_only_layers",
    "rows_of",
    "tiny_model",
    "tokenizer_beside",
    "write_form",
]

PUBLIC = (
    "attention_pattern",
    "config_limits",
    "default",
    "folder",
    "hub",
    "quiet",
    "saving",
    "structure",
)
"""Modules that other rooms import."""
