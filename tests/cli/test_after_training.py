"""Where ``train`` puts what it trained, and the command it ends with: typed as printed, it works and says the same."""

import json
import re
import shlex
import sys

import pytest

from rankwise.cli.main import main
from rankwise.methods import card

SMALL = ["--model", "tiny", "--steps", "2", "--set", "eval_every=1", "--set", "sizes={train: 8, selection: 2, test: 3}"]


def type_in(monkeypatch, words):
    """Run a command line as a shell would."""
    monkeypatch.setattr(sys, "argv", words)
    return main(words[1:])


def printed_command(text):
    return shlex.split(next(line for line in text.splitlines() if line.startswith("Next: ")).removeprefix("Next: "))


@pytest.mark.parametrize(
    ("method", "options", "files"),
    [
        ("lora", ["--rank", "2", "--seed", "3"], {"adapter_config.json", "adapter_model.safetensors", "README.md"}),
        ("olora", ["--rank", "2", "--set", "max_length=128"], {"adapter_config.json", "adapter_model.safetensors"}),
        ("vera", ["--data", "town-crier"], {"adapter_config.json", "adapter_model.safetensors"}),
        ("lora", ["--columns", "prompt=Question: {q},completion=kind"], {"adapter_config.json"}),
        ("full", [], {"config.json", "model.safetensors", "tokenizer_config.json"}),
    ],
)
def test_it_is_where_out_says_and_the_next_command_scores_it(method, options, files, tmp_path, capsys, monkeypatch):
    out = tmp_path / "my adapter"
    if "--columns" in options:
        rows = [f"is {n} odd,{'yes' if n % 2 else 'no'}" for n in range(40)]
        (tmp_path / "d.csv").write_text("\n".join(["q,kind", *rows]), encoding="utf-8")
        options = [*options, "--data", str(tmp_path / "d.csv")]
    command = ["rankwise", "train", "--method", method, *options, *SMALL, "--out", str(out)]
    assert type_in(monkeypatch, command) == 0
    said = capsys.readouterr().out
    assert files <= {path.name for path in out.iterdir()}
    assert f"saved in {out}" in said
    assert type_in(monkeypatch, [*printed_command(said), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    scored = (found["adapter"] or found["base"])["nll"]
    trained, base = (float(n) for n in re.search(r"token ([\d.]+) \(base ([\d.]+)\)", said).groups())
    assert scored["examples"] == 3
    assert scored["value"] == pytest.approx(trained, abs=0.02), "bfloat16 or float32, the same examples"
    if method != "full":
        assert card(method).citation in (out / "README.md").read_text(encoding="utf-8")
        assert found["base"]["nll"]["value"] == pytest.approx(base, abs=0.02)
    for name in files:  # edited, it is not edited in the run's own folder
        assert all(not path.samefile(out / name) for path in out.glob(f"runs/*/adapter/{name}"))
    (out / "README.md").unlink(missing_ok=True)
    assert type_in(monkeypatch, [*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(out)
    assert files <= {path.name for path in out.iterdir()}, "done already, and whole again"


@pytest.mark.parametrize("rate", [["--lr", "1e25"], ["--lr=1e25"]])
def test_after_a_run_that_diverged_the_next_command_is_accepted(rate, tmp_path, capsys, monkeypatch):
    out = ["--out", str(tmp_path / "a")] if len(rate) == 2 else [f"--out={tmp_path / 'a'}"]
    assert type_in(monkeypatch, ["rankwise", "train", *rate, *SMALL, "--set", "clip=0", *out]) == 1
    said = capsys.readouterr().out
    assert "stopped being finite" in said
    assert not (tmp_path / "a" / "adapter_config.json").exists()
    again = printed_command(said)
    assert [float(n) for n in re.findall(r"--lr (\S+)", " ".join(again))] == [3e24]
    assert type_in(monkeypatch, again) in (0, 1)
    assert (tmp_path / "a-lr-3e+24" / "study.yaml").exists()
