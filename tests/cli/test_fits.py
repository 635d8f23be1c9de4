"""Rows longer than a model's positions, ids that its embedding has no row for: one sentence from every command."""

import ast
import json
import re
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, GPT2Config, MptConfig

import rankwise
from rankwise.cli.main import main
from rankwise.data import Encoded, Example, Message, Splits
from rankwise.data.render import encode
from rankwise.engine import make_quiz
from rankwise.engine.evaluation.generate import greedy
from rankwise.errors import UsageError
from rankwise.models import Base, byte_tokenizer, fitted, load_base, tiny_model

SOURCE = Path(__file__).parents[2] / "src" / "rankwise"
SAYS = {
    "short": r"rows of 128 tokens, which \S+ cannot read \(it has 96 positions\); set max_length to 96 to cut them"
    r"|a prompt of 139 tokens and 128 new ones do not fit into the 96 positions of \S+; shorten the prompt",
    "small": r"has the token id 257 \('<\|im_end\|>'\), but \S+ has an embedding of 200 tokens: .* save both again",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two models that cannot read what they are given, the rows, and a stream of them."""
    folder = tmp_path_factory.mktemp("fits")
    positions = GPT2Config(
        n_embd=16, n_layer=1, n_head=2, n_positions=96, vocab_size=258, bos_token_id=256, eos_token_id=257
    )
    AutoModelForCausalLM.from_config(positions).save_pretrained(folder / "short")
    tiny_model(vocab=200).save_pretrained(folder / "small")
    for name in ("short", "small"):
        byte_tokenizer().save_pretrained(folder / name)
    rows = [{"prompt": f"{n} is " + "x" * 60, "completion": str(n) * 20} for n in range(100, 160)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "stream.yaml").write_text(
        f"tasks: [{{id: one, data: {folder / 'rows.jsonl'}}}, {{id: two, data: {folder / 'rows.jsonl'}}}]\n"
        "strategies: [sequential]\n"
    )
    return folder


@pytest.mark.parametrize("model", SAYS)
@pytest.mark.parametrize(
    "command",
    [
        "doctor --data {rows}",
        "train --data {rows} --scale smoke --out {out}",
        "eval --data {rows}",
        "generate " + "x" * 120,
        "generate --json " + "x" * 120,
        "study smoke --data {rows} --out {out}",
        "chain {stream} --scale smoke --out {out}",
        "analyze weights --data {rows} --scale smoke --out {out}",
    ],
)
def test_every_command_refuses_in_one_sentence(place, tmp_path, capsys, command, model):
    files = {"rows": place / "rows.jsonl", "stream": place / "stream.yaml", "out": tmp_path / "out"}
    assert main([*(word.format(**files) for word in command.split()), "--model", str(place / model)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(SAYS[model], said), said
    assert not (tmp_path / "out" / "study.yaml").exists()


def test_the_advice_helps(place, tmp_path):
    command = ["train", "--model", str(place / "short"), "--data", str(place / "rows.jsonl"), "--scale", "smoke"]
    assert main([*command, "--set", "max_length=96", "--set", "steps=1", "--out", str(tmp_path / "out")]) == 0


def test_whoever_loads_data_for_a_base_holds_them_against_it():
    loaders = 0
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.parent.name == "data" or not re.search(r"\b(load_data|load_test|encode_split)\(", text):
            continue
        for function in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)):
            calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
            called = {call.id for call in calls if isinstance(call, ast.Name)}
            if called & {"load_data", "load_test", "encode_split"}:
                loaders += 1
                assert called & {"fitted", "check_rows"}, f"{path}, {function.name}"
    assert loaders >= 7


def rows_of(*lengths):
    encoded = tuple(Encoded((1,) * length, (False,) * (length - 1) + (True,)) for length in lengths)
    return Splits(encoded, (), (), "rows", ("first",), "print")


def test_a_model_that_computes_positions_reads_on_with_a_note():
    base = load_base("tiny")
    assert base.positions is None
    assert fitted(base, rows_of(2048)).notes == ("first",)
    assert fitted(base, rows_of(5, 2100)).notes == (
        "first",
        "rows of up to 2,100 tokens, more than the 2,048 that tiny was made for",
    )


def test_a_limit_that_is_no_table_is_found_by_trying():
    """MPT makes its biases for so many tokens."""
    config = MptConfig(vocab_size=258, d_model=16, n_layers=1, n_heads=2, max_seq_len=64)
    base = Base(AutoModelForCausalLM.from_config(config).eval(), byte_tokenizer(), "it", "")
    assert fitted(base, rows_of(64)).notes == ("first",)
    with pytest.raises(
        UsageError, match=r"data rows has rows of 65 tokens, which it cannot read \(.*; set max_length to 64"
    ):
        fitted(base, rows_of(65))


def test_virtual_tokens_take_room_too(place):
    base = load_base(str(place / "short"))
    assert rankwise.methods.build("prompt_tuning", tokens=16).front == 16
    assert rankwise.methods.build("lora").front == 0
    assert fitted(base, rows_of(80), front=16).notes == ("first",)
    with pytest.raises(
        UsageError, match=r"rows of 97 tokens, 16 virtual ones among them.* set max_length to 80 to cut"
    ):
        fitted(base, rows_of(81), front=16)


def test_a_quiz_leaves_out_questions_without_room_for_the_reply():
    tokenizer = byte_tokenizer()
    examples = [
        encode(Example((Message("user", "x" * n), Message("assistant", "7")), chat=False), tokenizer)
        for n in (5, 60, 9)
    ]
    assert make_quiz(examples, tokenizer, 3).places == (0, 1, 2)
    assert make_quiz(examples, tokenizer, 3, room=40).places == (0, 2)
    assert make_quiz(examples, tokenizer, 3, room=12) is None


def test_a_pad_token_without_a_row_pads_with_another(place):
    model = tiny_model(vocab=200)
    tokenizer = byte_tokenizer()
    base = Base(model, tokenizer, "it", "")
    prompts = [[5, 6, 7], [9]]
    alone = [greedy(base, [prompt], max_new_tokens=6)[0] for prompt in prompts]
    assert greedy(base, prompts, max_new_tokens=6) == alone
    tokenizer.pad_token = None
    assert greedy(base, prompts, max_new_tokens=6) == alone
