"""Text from data files made safe to draw: without the characters that no page, picture or terminal may get.

vl-convert ends the whole process when a label holds a character that XML forbids, a terminal obeys escape
sequences, and a lone surrogate cannot be written as UTF-8. Markup is not touched here: templates escape it.
"""

from __future__ import annotations

import unicodedata
from typing import Any

KEPT = "\n\t"
FORBIDDEN = ("Cc", "Cs")  # controls and lone surrogates
NOT_XML = ("\ufffe", "\uffff")
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # turn the direction of whatever text comes next


def clean(value: Any) -> Any:
    """A copy of a JSON value whose strings, keys included, can be shown anywhere."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def clean_text(text: str) -> str:
    """``text`` without control characters (line breaks and tabs stay), marks of direction, and what XML forbids."""
    if text.isprintable():
        return text
    return "".join(character for character in text if character in KEPT or _shown(character))


def _shown(character: str) -> bool:
    return unicodedata.category(character) not in FORBIDDEN and character not in (*NOT_XML, *TURNING)
