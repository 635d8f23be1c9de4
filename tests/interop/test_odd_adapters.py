"""Adapters whose tensors are no adapter's: one sentence from every verb, exit code 2, nothing written."""

from __future__ import annotations

import json
import os
import shutil
import stat

import pytest
import torch
from safetensors.torch import load_file, save_file

from rankwise.cli.main import main
from rankwise.methods import lora

from .tools import adapter_folder, base_folder, tree

TENSORS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd") / "base"
    return folder, base_folder(folder)


def made(change):
    """Change every tensor, as another program saves them."""

    def spoil(folder):
        tensors = {key: change(value) for key, value in load_file(folder / TENSORS).items()}
        save_file(tensors, folder / TENSORS, {"format": "pt"})

    return spoil


def huge_alpha(folder):
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 1e300}))
    for name in ("rankwise.json", "rankwise.sha256"):
        (folder / name).unlink()


def flipped(name):
    def spoil(folder):
        raw = bytearray((folder / name).read_bytes())
        raw[-9] ^= 1
        (folder / name).write_bytes(raw)

    return spoil


ODD = {
    "factors of 3e38": (made(lambda t: torch.full_like(t, 3e38)), "more than float32 holds"),
    "factors of 1e17": (made(lambda t: torch.full_like(t, 1e17)), "logits are NaN or infinite|is NaN or infinite"),
    "alpha 1e300": (huge_alpha, "more than float32 holds"),
    **{
        str(kind): (made(lambda t, kind=kind: t.to(kind)), f"is {str(kind).removeprefix('torch.')}; an adapter's")
        for kind in (torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn)
    },
    "a flip in its tensors": (flipped(TENSORS), "is damaged or truncated .* are not those that were written"),
    "a flip in its config": (flipped("adapter_config.json"), "adapter_config.json is not what was written"),
    "a flip in its spec": (flipped("rankwise.json"), "rankwise.json is not what was written"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("verb", ["merge", "export", "compress"])
def test_odd_tensors_are_one_sentence(verb, name, base, tmp_path, capsys):
    import re

    spoil, words = ODD[name]
    folder = adapter_folder(base[1], tmp_path / "a", lora(2), base[0])
    spoil(folder)
    before = tree(tmp_path)
    verbs = {
        "merge": ["merge", str(base[0]), str(folder), "--out", str(tmp_path / "x")],
        "export": ["export", str(folder), "--for", "peft", "--out", str(tmp_path / "x")],
        "compress": ["compress", str(folder), "--rank", "1", "--out", str(tmp_path / "x")],
    }
    code = main(verbs[verb])
    shown = capsys.readouterr()
    if verb == "compress" and name == "factors of 1e17" and code == 0:
        return  # the cut itself is exact; what it does to a model is asked of merge and export
    assert code == 2, shown.err
    said = shown.err.strip().splitlines()[-1]
    assert re.search(words, said), said
    assert "please report" not in said
    assert tree(tmp_path) == before


@pytest.mark.parametrize("verb", ["merge", "export"])
def test_a_base_whose_own_config_does_not_fit_it_is_to_blame_itself(verb, base, tmp_path, capsys):
    folder = adapter_folder(base[1], tmp_path / "a", lora(2), tmp_path / "base")
    shutil.copytree(base[0], tmp_path / "base")
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    (tmp_path / "base" / "config.json").write_text(json.dumps({**config, "rms_norm_eps": -1e9}))
    verbs = {"merge": ["merge", str(tmp_path / "base")], "export": ["export", "--for", "peft"]}
    assert main([*verbs[verb], str(folder), "--out", str(tmp_path / "x")]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{tmp_path / 'base'}: the model's own logits are NaN or infinite, without any adapter" in said
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027])
def test_what_is_written_has_the_permissions_of_any_new_file(mask, base, tmp_path, capsys):
    old = os.umask(mask)
    try:
        folder = adapter_folder(base[1], tmp_path / "a", lora(2), base[0])
        assert main(["export", str(folder), "--for", "vllm", "--out", str(tmp_path / "e")]) == 0
        assert main(["merge", str(base[0]), str(folder), "--out", str(tmp_path / "m"), "--no-verify"]) == 0
        assert main(["compress", str(folder), "--rank", "1", "--out", str(tmp_path / "c")]) == 0
    finally:
        os.umask(old)
    for path in tmp_path.rglob("*"):
        wanted = (0o777 if path.is_dir() else 0o666) & ~mask
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_an_adapter_of_another_program_is_exported_with_a_remark(base, tmp_path, capsys):
    folder = adapter_folder(base[1], tmp_path / "a", lora(2), base[0])
    said = "states no digest"
    assert main(["merge", str(base[0]), str(folder), "--out", str(tmp_path / "m"), "--no-verify", "--json"]) == 0
    assert said not in capsys.readouterr().out
    made(lambda t: t)(folder)
    for verb in (["export", str(folder), "--for", "peft"], ["merge", str(base[0]), str(folder), "--no-verify"]):
        assert main([*verb, "--out", str(tmp_path / verb[0]), "--json"]) == 0
        assert said in " ".join(json.loads(capsys.readouterr().out)["notes"])
