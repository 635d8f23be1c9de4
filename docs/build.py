"""Writes the generated pages: docs/methods.md from the catalogue, docs/tutorial-table.md from the models' shapes.

make docs
"""

from __future__ import annotations

from pathlib import Path

from docs.tutorial import page
from rankwise.files import write_text
from rankwise.methods import catalogue
from rankwise.methods.taxonomy import tag

HERE = Path(__file__).parent


def methods_page() -> str:
    """Return the catalogue as Markdown."""
    lines = ["# Methods", "", "Written by `make docs` from the catalogue; `rankwise methods NAME` shows one.", ""]
    for card in catalogue():
        axes = ", ".join(f"{axis} `{choice}`" for axis, choice in card.axes.items()) or "-"
        lines += [
            f"## {card.name}",
            "",
            f"{card.title} (arXiv {card.arxiv})" if card.arxiv != "-" else card.title,
            "",
            f"- formula: `{card.formula}`",
            f"- axes: {axes}",
            f"- kind of change: {tag(card.build()).subspace}, {tag(card.build()).general}",
            f"- merges: {'yes' if card.merges else 'no'}; plain LoRA of rank: {card.export_rank}",
            f"- fidelity: {card.fidelity}",
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    write_text(HERE / "methods.md", methods_page())
    write_text(HERE / "tutorial-table.md", page())
