"""``rankwise cost`` as a person types it."""

import json

import pytest

from rankwise.cli.main import main

QUICK = ["--no-calibrate", "--json"]


def cost(capsys, *arguments):
    assert main(["cost", *arguments, *QUICK]) == 0
    return json.loads(capsys.readouterr().out)


def test_llama_2_70b(capsys):
    found = cost(capsys, "--model", "LLaMA-2-70B", "--rank", "8", "--placement", "q_proj,v_proj")
    assert found["adapter"]["trainable"] == 16_384_000
    assert found["parameters"] == 68_976_648_192


def test_default_model_and_plan(capsys):
    found = cost(capsys)
    assert found["model"] == "SmolLM2-135M"
    assert found["dtype"] == "bfloat16"
    assert found["plan"] == {"batch": 8, "length": 256, "targets": 128, "steps": 60}


def test_options_act(capsys):
    options = ["--model", "tiny", "--batch", "3", "--length", "50", "--targets", "9", "--steps", "7"]
    found = cost(capsys, *options, "--dtype", "float32", "--method", "olora", "--rank", "2")
    assert found["plan"] == {"batch": 3, "length": 50, "targets": 9, "steps": 7}
    assert found["dtype"] == "float32"
    assert "master weights" not in found["full"]["memory"]
    assert found["adapter"]["memory"]["frozen start"] == found["adapter"]["memory"]["adapter"]


def test_full_alone(capsys):
    found = cost(capsys, "--model", "GPT-2", "--method", "full")
    assert found["adapter"] is None
    assert found["full"]["trainable"] == 124_439_808


@pytest.mark.parametrize("arguments", [[], ["--method", "full"]])
def test_tables(capsys, arguments):
    assert main(["cost", "--model", "tiny", *arguments]) == 0
    shown = capsys.readouterr().out
    for words in ("full fine-tuning", "activations (estimate)", "FLOPs a step", "on disk", "at least", "GFLOP/s"):
        assert words in shown
    assert ("adapter adds" in shown) == (not arguments)
    assert "self_attn.q_proj" in shown


def test_a_config_file(capsys, tmp_path):
    from rankwise.models import tiny_model

    tiny_model(kind="gpt2").config.save_pretrained(tmp_path)
    found = cost(capsys, "--model", str(tmp_path / "config.json"))
    assert found["parameters"] == sum(p.numel() for p in tiny_model(kind="gpt2").parameters())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "Qwen2.5-0.5"], "did you mean 'Qwen2.5-0.5B'"),
        (["--model", "tiny", "--method", "lorra"], "did you mean 'lora'"),
        (["--model", "tiny", "--method", "full", "--rank", "4"], "no option 'rank'"),
        (["--model", "tiny", "--rank", "0"], "rank must be"),
        (["--model", "tiny", "--dtype", "float61"], "did you mean 'float16'"),
        (["--model", "tiny", "--targets", "256"], "below --length"),
        (["--model", "tiny", "--placement", "q_porj,v_proj"], "q_proj"),
        (["--model", "tiny", "--method", "olora", "--rank", "500"], "rank <="),
    ],
)
def test_bad_input(capsys, arguments, says):
    assert main(["cost", "--no-calibrate", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err
