"""The README beside an exported adapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rankwise.files import write_text
from rankwise.integrations.live import Live

if TYPE_CHECKING:
    from rankwise.integrations.export.run import Exported


def write_card(folder: Path, live: Live, exported: Exported) -> None:
    """Write ``README.md``: what it is, on which base, what was lost, how it was checked, how to load it."""
    from rankwise import __version__
    from rankwise.studies.results.modelcard import card_header, carried

    lost = "exact" if exported.exact else f"cut by SVD: up to {max(exported.errors.values()):.2%} of an update is lost"
    lines = [
        *card_header(live.name),
        f"# Adapter for {exported.target}",
        "",
        f"- update: `{live.handle.adapter!r}`",
        f"- base: {live.name}, fingerprint `{live.base.fingerprint[:16]}`",
        f"- written as plain LoRA of rank {exported.rank} in {exported.dtype}, scale in B; {lost}",
        f"- {exported.proof.sentence()}",
        *(f"- {note}" for note in exported.notes),
        f"- made by rankwise {__version__}",
        "",
        "```",
        exported.next_step,
        "```",
        "",
        *carried(live.folder),
    ]
    write_text(folder / "README.md", "\n".join(lines))
