"""Chat templates that print the time get one fixed moment, so that the same data give the same ids tomorrow.

A template can read the time from two places: ``date_string``, which Llama 3's take as an argument, and
``strftime_now``, the one function of the clock that transformers gives to every template. Arguments cannot take its
place (they are made plain data), so it is transformers' clock that stands still while a template is rendered.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from datetime import datetime, tzinfo

MOMENT = datetime(2024, 7, 26)
OTHER = datetime(1998, 12, 31, 23, 59, 58, 987654)  # differs in every part of a date, to see what depends on it
_WORDS = {MOMENT: "26 Jul 2024", OTHER: "31 Dec 1998"}  # whatever language the program is set to
_ONE_AT_A_TIME = threading.Lock()


@contextlib.contextmanager
def standing(moment: datetime = MOMENT) -> Iterator[str]:
    """Stop the clock of templates at ``moment`` inside the block, and give its ``date_string``."""
    from transformers.utils import chat_template_utils

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return moment

    with _ONE_AT_A_TIME:
        own = vars(chat_template_utils)["datetime"]
        vars(chat_template_utils)["datetime"] = Stopped
        try:
            yield _WORDS[moment]
        finally:
            vars(chat_template_utils)["datetime"] = own
