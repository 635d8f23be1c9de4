"""Loading without noise: what matters is checked and raised, the rest is not printed.

On a CPU with bfloat16 instructions, importing bitsandbytes (peft does, and transformers imports peft) logs that an
optional kernel of the hub is missing, a four-bit matrix times a vector, which nothing here calls.
"""

from __future__ import annotations

import contextlib
import logging as standard
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars, log lines and warnings of transformers and huggingface_hub meanwhile."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    level, hub_level, bars = logging.get_verbosity(), hub_logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    hub_logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), without_kernel_notice():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        hub_logging.set_verbosity(hub_level)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def without_kernel_notice() -> Iterator[None]:
    """Drop bitsandbytes' one record about the missing kernel while it may be imported; any other is shown."""
    log = standard.getLogger("bitsandbytes.backends.cpu.ops")
    log.addFilter(_is_not_the_kernel)
    try:
        yield
    finally:
        log.removeFilter(_is_not_the_kernel)


def _is_not_the_kernel(record: standard.LogRecord) -> bool:
    return "gemm_4bit_forward" not in str(record.msg)
