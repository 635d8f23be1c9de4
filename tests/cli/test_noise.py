"""Nothing is printed that says nothing to the person at the terminal."""

from __future__ import annotations

import logging

from rankwise.cli.main import main
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
