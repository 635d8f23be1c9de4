"""The comparison page and table: every number once, text from data escaped."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from rankwise.report.comparison import render_comparison, write_comparison

from .conftest import Page


def comparison(text: str = "") -> dict[str, Any]:
    interval = {"estimate": 0.97, "low": 0.95, "high": 0.99}
    side = {"verdict": "matches or beats", "recovery": interval, "test_nll": 0.91, "best_lr": 1e-3, "seeds": 3}
    less = {"estimate": -0.021, "low": -0.034, "high": -0.008, "p": 0.004, "word": "lower", "seeds": "paired",
            "for_these_seeds": False}  # fmt: skip
    study = {"model": f"tiny{text}", "data": "d", "headline": f"LoRA matches.{text}", "recommended": None,
             "base_test_nll": 1.9}  # fmt: skip
    return {
        "studies": ["a", "b", "c"],
        "cells": [
            {
                "cell": "",
                "sides": [{**study, "study": name} for name in ("a", "b", "c")],
                "not_comparable": [None, f"other test examples: d (8) and e (9){text}"],
                "settings": [{"setting": "steps", "values": ["4", "8", f'"{text}"']}],
                "arms": [
                    {"name": "l", "label": f"LoRA{text}", "sides": [side, side, None], "differences": [less, None]}
                ],
            }
        ],
    }


def shown(found: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=60)
    render_comparison(found, console, page=Path("x.html"))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_terminal_and_page_say_the_same(tmp_path: Path) -> None:
    page = Page(write_comparison(comparison(), tmp_path / "c.html").read_text(encoding="utf-8"))
    text = " ".join(page.text.split())
    terminal = shown(comparison())
    for expected in (
        "−0.021 (−0.034 to −0.008): lower",
        "C is not comparable with A: other test examples: d (8) and e (9).",
        "B - A",
        "97.0%",
        "1e-3",
    ):
        assert expected in text, expected
        assert expected in terminal, expected
    assert "Setting steps: A 4, B 8" in terminal
    assert terminal.rstrip().endswith("Page: x.html")


def test_text_from_data_is_shown_not_obeyed(tmp_path: Path) -> None:
    attack = "<script>alert(1)</script>[bold red]\x1b[31m"
    html = write_comparison(comparison(attack), tmp_path / "c.html").read_text(encoding="utf-8")
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") >= 5
    terminal = shown(comparison(attack))
    assert "[bold red]" in terminal
    assert "\x1b" not in terminal
