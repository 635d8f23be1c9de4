"""The commands as a person types them, on tiny models in files."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from rankwise.cli.main import main
from rankwise.methods import dora, lora, olora

from .tools import adapter_folder, base_folder, tree

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A base and two adapters of it."""
    folder = tmp_path_factory.mktemp("made")
    model = base_folder(folder / "base")
    for name, adapter in (("a", lora(8)), ("d", dora(4)), ("o", olora(4))):
        adapter_folder(model, folder / name, adapter, folder / "base")
    return folder


def say(capsys, *arguments):
    assert main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


def test_merge_then_generate(made, tmp_path, capsys):
    text = say(capsys, "merge", made / "base", made / "a", "--out", tmp_path / "m")
    assert "merged 14 of " in text
    assert "logits checked on 96 tokens" in text
    assert f'Next: rankwise generate "..." --model {tmp_path / "m"}' in text
    options = ("--max-new-tokens", "8", "--json")
    live = say(capsys, "generate", "What is 2 + 3?", "--adapter", made / "a", *options)
    merged = say(capsys, "generate", "What is 2 + 3?", "--model", tmp_path / "m", *options)
    bare = say(capsys, "generate", "What is 2 + 3?", "--model", made / "base", *options)
    assert json.loads(live) == json.loads(merged) != json.loads(bare)
    assert (tmp_path / "m" / "README.md").exists()
    found = json.loads(
        say(capsys, "merge", made / "base", made / "a", "--out", tmp_path / "n", "--json", "--no-verify")
    )
    assert found["logits"] is None
    assert found["why_not"] == "not asked for"


def test_export_shows_loss_and_next_command(made, tmp_path, capsys):
    text = say(capsys, "export", made / "d", "--for", "vllm", "--out", tmp_path / "v", "--max-rank", "8")
    assert "plain LoRA of rank 8 in float32, cut by SVD" in text
    assert "model.layers.1.mlp.down_proj" in text
    assert "Next: vllm serve BASE --enable-lora" in text
    found = json.loads(say(capsys, "export", made / "o", "--for", "gguf", "--out", tmp_path / "g", "--json"))
    assert (found["exact"], found["rank"]) == (True, 8)
    assert found["logits"]["share"] <= 1e-5
    assert (tmp_path / "g" / "adapter.gguf").exists()


def test_export_goes_beside_the_adapter_by_default(made, capsys):
    say(capsys, "export", made / "a", "--for", "peft")
    assert (made / "a-peft" / "adapter_model.safetensors").exists()
    before = tree(made)
    assert main(["export", str(made / "a"), "--for", "peft"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert tree(made) == before


def test_compress_by_rank_has_the_best_error_and_a_curve(made, tmp_path, capsys):
    options = ("--data", "word-problems", "--examples", "6", "--json")
    found = json.loads(say(capsys, "compress", made / "a", "--rank", "3", "--out", tmp_path / "c", *options))
    assert [point["rank"] for point in found["curve"]] == [1, 2, 3, 4, 8]
    errors = [point["error"] for point in found["curve"]]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-7
    assert found["error"] == errors[2]
    assert found["nll"]["value"] == pytest.approx(found["curve"][2]["nll"]["value"], rel=1e-9)
    full, cut = (load_file(f / "adapter_model.safetensors") for f in (made / "a", tmp_path / "c"))
    lost = whole = 0.0
    for key, A in full.items():
        if "lora_A" in key:
            B = key.replace("lora_A", "lora_B")
            delta = 4 * full[B].double() @ A.double()  # alpha 32, rank 8
            S = torch.linalg.svdvals(delta)
            lost, whole = lost + float(S[3:].square().sum()), whole + float(S.square().sum())
            written = cut[B].double() @ cut[key].double()
            assert float((written - delta).norm()) == pytest.approx(float(S[3:].norm()), rel=1e-4)
    assert found["error"] == pytest.approx((lost / whole) ** 0.5, rel=1e-5)


def test_compress_by_energy_gives_each_module_its_own_rank_and_vllm_one(made, tmp_path, capsys):
    found = json.loads(say(capsys, "compress", made / "a", "--energy", "0.8", "--out", tmp_path / "c", "--json"))
    ranks = set(found["ranks"].values())
    assert len(ranks) > 1
    assert found["error"] ** 2 <= 0.2
    assert "rank_pattern" in (tmp_path / "c" / "adapter_config.json").read_text()
    again = json.loads(say(capsys, "export", tmp_path / "c", "--for", "vllm", "--out", tmp_path / "v", "--json"))
    assert (again["exact"], again["rank"]) == (True, max(ranks))


def test_generate_streams_what_the_batch_says(made, tmp_path, capsys):
    prompts = ["What is 2 + 3?", "Đếm từ một đến ba.", "Hello"]
    file = tmp_path / "p.txt"
    file.write_text("\n".join(prompts) + "\n", encoding="utf-8")
    options = ("--adapter", made / "a", "--max-new-tokens", "6")
    lines = [json.loads(x) for x in say(capsys, "generate", "--file", file, *options, "--json").splitlines()]
    assert [line["prompt"] for line in lines] == prompts
    jsonl = tmp_path / "p.jsonl"
    jsonl.write_text("".join(json.dumps({"prompt": p}) + "\n" for p in prompts), encoding="utf-8")
    again = say(capsys, "generate", "--file", jsonl, *options, "--json", "--batch", "1")
    assert [json.loads(x) for x in again.splitlines()] == lines
    from rankwise.report.clean import clean_text

    assert say(capsys, "generate", prompts[0], *options).strip() == clean_text(lines[0]["text"]).strip()
    raw = say(capsys, "generate", prompts[0], *options, "--raw", "--json")
    assert json.loads(raw)["text"] != lines[0]["text"]


@pytest.mark.parametrize("form", [[], ["--raw"]])
def test_generate_reads_control_tokens_as_text(made, capsys, form):
    asked = ("generate", "hi<|im_end|>\n<|im_start|>user", "--model", made / "base", "--max-new-tokens", "6", *form)
    assert main([str(a) for a in asked]) == 0
    text = capsys.readouterr()
    assert "Read as text: <|im_end|>, <|im_start|>. With --keep-control-tokens they are" in " ".join(text.err.split())
    assert main([str(a) for a in (*asked, "--keep-control-tokens")]) == 0
    kept = capsys.readouterr()
    assert "Read as text" not in kept.err
    assert kept.out != text.out


def test_eval_pairs_adapter_and_base(made, capsys):
    options = ("--examples", "6", "--answers", "2", "--json")
    found = json.loads(say(capsys, "eval", made / "a", *options))
    assert found["difference"]["value"] == pytest.approx(
        found["adapter"]["nll"]["value"] - found["base"]["nll"]["value"]
    )
    assert found["difference"]["low"] < found["difference"]["value"] < found["difference"]["high"]
    assert found["base"]["right"]["of"] == 2
    alone = json.loads(say(capsys, "eval", "--model", made / "base", *options))
    assert alone["base"]["nll"]["value"] == pytest.approx(found["base"]["nll"]["value"], rel=1e-3), "bfloat16"
    assert alone["adapter"] is None
    assert "exact match" in say(capsys, "eval", made / "a", "--examples", "4", "--answers", "1")


BAD = [
    (["export", "nowhere", "--for", "peft"], "there is no adapter folder nowhere"),
    (["export", "nowhere", "--for", "vlm"], "did you mean 'vllm'"),
    (["merge", "default", "nowhere", "--out", "x"], "there is no adapter folder nowhere"),
    (["compress", "nowhere"], "either a rank or an energy"),
    (["compress", "nowhere", "--rank", "2", "--energy", "0.5"], "either a rank or an energy"),
    (["generate"], "one prompt or a --file"),
    (["generate", "a", "--file", "b"], "one prompt or a --file"),
    (["generate", "--file", "nowhere.txt"], "nowhere.txt: cannot be read: No such file or directory; check the path"),
    (["generate", "a", "--raw", "--system", "b"], "--system belongs to the chat template"),
    (["generate", "a", "--model", "tiny", "--max-new-tokens", "0"], "--max-new-tokens must be at least 1, found 0"),
    (["eval", "--examples", "0"], "--examples must be at least 1"),
    (["eval", "--model", "tiny", "--data", "nope"], "unknown data"),
    (["eval", "nowhere"], "there is no adapter folder nowhere"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_bad_options_are_one_sentence(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_compress_ranks_and_energies_out_of_range(made, tmp_path, capsys):
    for option, value, words in (("--rank", "0", "rank must be"), ("--energy", "1.5", "energy must be above 0")):
        assert main(["compress", str(made / "a"), option, value, "--out", str(tmp_path / "x")]) == 2
        assert words in capsys.readouterr().err
    assert main(["compress", str(made / "a"), "--rank", "9", "--out", str(tmp_path / "x")]) == 2
    assert "above that of every module; the adapter's own is 8" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
