"""The terminal: drawn for people, plain for pipes, and safe from what data files say."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rankwise.report import render_table

from .fixtures import documents


def shown(document: dict[str, Any], *, terminal: bool, width: int = 100) -> str:
    console = Console(
        file=io.StringIO(),
        force_terminal=terminal,
        width=width,
        color_system="standard" if terminal else None,
        legacy_windows=False,
    )
    render_table(document, console, page=Path("runs/without-regret-quick/report.html"))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_pipe_gets_plain_text_one_line_per_arm() -> None:
    text = shown(documents.quick(), terminal=False, width=40)
    assert "\x1b" not in text
    assert all(ord(character) < 0x2500 or ord(character) > 0x257F for character in text)  # no box drawing
    line = next(line for line in text.splitlines() if line.startswith("LoRA r=16 *"))
    for expected in ("matches or beats", "98.6% (96.5 to 100.8%)", "0.928", "3e-3", "4.88M", "67%"):
        assert expected in line
    for expected in (
        "LoRA r=16 matches full fine-tuning within 5% of its gain, at 67% of the training FLOPs.",
        "LoRA r=16 needs 67% of the training FLOPs, 3.6% of the trainable parameters, 70% of the time per step and"
        " 31% of the peak memory of full fine-tuning; its file is 19.5 MB.",
        "OLoRA r=16: to decide it, about 6 more seeds or 210 more test examples.",
        "Report: runs/without-regret-quick/report.html",
        "  rankwise train --method lora --rank 16 --alpha 32 --placement all-linear --lr 3e-3 --batch 8 --steps 24",
    ):
        assert expected in text.splitlines(), expected


def test_a_terminal_gets_color_and_keeps_the_command_on_one_line() -> None:
    text = shown(documents.quick(), terminal=True, width=80)
    assert "\x1b[" in text
    assert "--placement all-linear --lr 3e-3 --batch 8 --steps 24" in text


def test_eighty_columns_hold_every_number() -> None:
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown(documents.quick(), terminal=True, width=80))
    row = next(line for line in text.splitlines() if "matches or beats" in line)
    for expected in ("98.6% (96.5 to 100.8%)", "0.928", "3e-3", " 67%"):
        assert expected in row
    assert max(len(line) for line in text.splitlines() if "rankwise train" not in line) <= 80


@pytest.mark.parametrize("kind", ["no_verdict", "screened", "gone_wrong", "all_diverged"])
def test_every_state_prints(kind: str) -> None:
    text = shown(getattr(documents, kind)(), terminal=False)
    assert "No recommendation: " in text
    assert "Fault: lora-r64 lr=1e-3 seed=0: killed: out of memory at step 8" in text or kind != "gone_wrong"


@pytest.mark.parametrize("terminal", [True, False])
def test_text_from_data_cannot_style_the_terminal(terminal: bool) -> None:
    text = shown(documents.hostile(), terminal=terminal, width=300)
    assert "[bold red]" in text  # shown, not obeyed
    assert "\x1b[31m&" not in text
    assert "&\x1b" not in text.replace("&\x1b[0m", "")
