"""When two texts are the same: a letter may be one code point or a base and its marks, and looks the same.

Texts are compared in the composed form; what a model is trained on keeps the code points of its file.
"""

from __future__ import annotations

import unicodedata


def composed(text: str) -> str:
    """Return ``text`` in Unicode's composed form (NFC), in which texts that look the same compare equal."""
    return unicodedata.normalize("NFC", text)
