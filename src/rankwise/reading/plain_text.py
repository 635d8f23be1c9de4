"""Text files: UTF-8, of a bounded size, without lone surrogates."""

from __future__ import annotations

from pathlib import Path

from rankwise.errors import UsageError

CONFIG_BYTES = 64 * 2**20  # a tokenizer.json has some 30 MB; nothing that configures is larger


def read_text(path: Path, *, most: int | None = CONFIG_BYTES, cure: str = "copy it again") -> str:
    """Return what a text file holds; a byte-order mark is left out.

    Args:
        most: bytes that are read at most; None for data, which may be of any size.
        cure: what to do about a file that cannot be read; it ends the sentence.

    Raises:
        FileNotFoundError: there is none (the caller says what is missing).
        UsageError: it is no file, too large, not to be read, or not UTF-8.
    """
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder, not a file; give the file")
        if most is not None and (size := path.stat().st_size) > most:
            raise UsageError(f"{path} has {size:,} bytes, more than the {most:,} that are read; {cure}")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start}); save it again as UTF-8, or {cure}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: cannot be read: {reason}; check the path and its permissions") from error
