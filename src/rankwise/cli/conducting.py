"""What every command that makes a study shares: run it with its progress shown, write its page, print its outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from rankwise.cli import console
from rankwise.cli.options import say_json
from rankwise.report import render_table, write_report


class Config(Protocol):
    """A resolved study, of any kind."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""


def conduct(
    run: Callable[..., dict[str, Any]],
    config: Config,
    folder: Path,
    *,
    command: str,
    as_json: bool,
    report_to: Sequence[str] = (),
) -> int:
    """Run a study, write its report, print its document or its table; return the exit code (3: runs failed).

    Args:
        run: makes the result document of ``config`` in ``folder``, given ``progress`` and ``command``.
    """
    with console.watching(folder, config.to_dict(), report_to) as progress:
        document = run(config, folder, progress=progress, command=command)
    page = write_report(document, folder)
    if as_json:
        say_json(document)
    else:
        render_table(document, console.out(), page=page)
    return 3 if document["results"]["faults"] else 0
