"""Nothing is printed that says nothing to the person at the terminal."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

import rankwise.cli
from rankwise.cli.main import main
from rankwise.cli.options import say_json
from rankwise.models.quiet import without_kernel_notice


def test_a_kernel_that_nothing_calls_is_not_missed():
    log, seen = logging.getLogger("bitsandbytes.backends.cpu.ops"), []

    class Keep(logging.Handler):
        def emit(self, record):
            seen.append(record.getMessage())

    log.addHandler(keep := Keep())
    try:
        with without_kernel_notice():
            log.warning("Failed to load CPU gemm_4bit_forward from kernels-community: %s. pip install kernels", "no")
            log.warning("this matters")
    finally:
        log.removeHandler(keep)
    assert seen == ["this matters"]


def test_saving_a_whole_model_is_quiet(tmp_path, capfd):
    settings = ["steps=4", "eval_every=2", "sizes={train: 16, selection: 4, test: 6}"]
    changes = [part for setting in settings for part in ("--set", setting)]
    assert main(["train", "--method", "delta_lora", "--scale", "smoke", "--out", str(tmp_path / "d"), *changes]) == 0
    assert list(tmp_path.rglob("model.safetensors")), "what this event made is a whole model"
    said = capfd.readouterr().err
    assert "Writing model shards" not in said
    assert "gemm_4bit_forward" not in said


@pytest.mark.parametrize("text", ["\x9b31m", "\x7f", "\x1b[2J", "\u2028", "\u202e", "\u2066", "\ud800"], ids=ascii)
def test_json_says_nothing_to_the_terminal_and_means_the_same(text, capsys):
    say_json({f"key {text}": f"quả táo {text}"})
    shown = capsys.readouterr().out
    assert text not in shown
    assert "quả táo" in shown
    assert json.loads(shown) == {f"key {text}": f"quả táo {text}"}


def test_every_command_prints_json_in_that_one_way():
    for path in Path(rankwise.cli.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert path.name == "options.py" or "json.dumps" not in text, path.name
