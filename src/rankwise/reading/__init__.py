"""Files and texts from elsewhere, one reader a kind: each has limits, and every fault is one sentence.

What a person, a hub or another program gives is read here and nowhere else (``tests/test_architecture.py``). A reader
does not trust what merely parses, and raises :class:`~rankwise.errors.UsageError` for whatever it does not take.
"""

from rankwise.reading.json_text import parse_json, read_json, read_object
from rankwise.reading.options import Options
from rankwise.reading.patterns import Pattern
from rankwise.reading.plain_text import read_text
from rankwise.reading.yaml_text import parse_yaml, read_mapping

__all__ = ["Options", "Pattern", "parse_json", "parse_yaml", "read_json", "read_mapping", "read_object", "read_text"]

PUBLIC = (
    "tensor_header",
    "tensors",
)
"""Modules that other rooms import."""
