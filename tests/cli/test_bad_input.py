"""Bad files, models and folders through the command itself: one sentence, exit code 2, nothing half-written.

Options are in test_commands.py; what each data reader says is in tests/data/test_data_bad_input.py, whose table of
files is sent through ``rankwise study`` here.
"""

import json
import os

import pytest

from rankwise.cli.main import main
from tests.data.test_data_bad_input import FILES, GOOD
from tests.ledger.tools import hold

SMALL = ["--set", "steps=2", "--set", "sizes={train: 6, selection: 2, test: 2}"]


def refused(arguments, capsys, code=2):
    assert main(arguments) == code
    said = capsys.readouterr()
    assert said.out == ""
    sentence = said.err.splitlines()[-1]
    assert sentence.startswith("rankwise: ")
    assert "Traceback" not in said.err
    return sentence


@pytest.mark.parametrize("case", FILES)
def test_a_study_of_a_bad_file(case, tmp_path, capsys):
    name, content, _ = FILES[case]
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    out = tmp_path / "out"
    # The model's 384 tokens leave no room for a prompt of 300 bytes when examples may have 300 only.
    command = ["study", "smoke", "--data", str(tmp_path / name), "--set", "max_length=300", "--out", str(out)]
    refused(command, capsys)
    assert not out.exists()


@pytest.fixture
def model(model_folder):
    return model_folder


def pickle_only(model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def truncated(model):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def no_tokenizer(model):
    for path in model.glob("tokenizer*"):
        path.unlink()


def broken_config(model):
    (model / "config.json").write_text("{")


def not_a_number(model):
    from safetensors.torch import load_file, save_file

    tensors = load_file(model / "model.safetensors")
    tensors["model.norm.weight"][3] = float("nan")
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})


MODELS = {
    pickle_only: ("pickle", 2),
    truncated: ("truncated or damaged", 2),
    no_tokenizer: ("tokenizer", 2),
    broken_config: ("broken JSON", 2),
}


@pytest.mark.parametrize("damage", MODELS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("command", ["study", "train"])
def test_a_bad_model(command, damage, model, tmp_path, capsys):
    damage(model)
    words, code = MODELS[damage]
    first = ["study", "smoke"] if command == "study" else ["train", "--scale", "smoke"]
    out = tmp_path / "out"
    assert words in refused([*first, "--model", str(model), *SMALL, "--out", str(out)], capsys, code)
    assert not out.exists()


def test_a_model_with_weights_that_are_not_numbers(model, tmp_path, capsys):
    not_a_number(model)
    out = tmp_path / "out"
    command = ["train", "--scale", "smoke", "--model", str(model), *SMALL, "--out", str(out)]
    said = refused(command, capsys)
    assert "model.norm.weight" in said
    assert not out.exists()


def test_a_corrupt_cache_with_nothing_to_make_it_from(tmp_path, monkeypatch, capsys):
    from rankwise.models import default, hub

    entry = tmp_path / "cache" / default.ENTRY
    entry.mkdir(parents=True)
    (entry / "model.safetensors").write_bytes(b"half a model")
    monkeypatch.setenv("RANKWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(default, "_installed_gguf", lambda: None)
    monkeypatch.setattr(hub, "probe", lambda url: None)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    said = refused(["study", "rank", *SMALL, "--out", str(tmp_path / "out")], capsys)
    assert f"its cached copy in {entry} is damaged" in said
    assert "make setup" in said
    assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_else(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("")
    said = refused(["study", "smoke", *SMALL, "--out", str(tmp_path)], capsys)
    assert "thesis.tex" in said
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_output_that_is_a_file(tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    refused(["study", "smoke", *SMALL, "--out", str(tmp_path / "out")], capsys)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_read_only_file_system(capsys):
    said = refused(["study", "smoke", *SMALL, "--out", "/proc/rankwise"], capsys)
    assert "/proc/rankwise" in said


def test_a_second_process_on_the_same_folder(tmp_path, capsys):
    out = tmp_path / "out"
    holder = hold(out)
    try:
        said = refused(["study", "smoke", *SMALL, "--out", str(out)], capsys)
        assert f"pid {holder.pid}" in said
        assert os.listdir(out) == [".lock"]
    finally:
        holder.kill()
        holder.communicate()


def test_a_study_file_that_contradicts_itself(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text("preset: rank\nscale: smoke\nseed: 1\nfresh_seeds: [1, 2]\n", encoding="utf-8")
    assert "fresh_seeds" in refused(["study", str(file), "--out", str(tmp_path / "out")], capsys)
    assert not (tmp_path / "out").exists()


def test_another_study_in_the_same_folder(tmp_path, capsys):
    data = tmp_path / "a.jsonl"
    data.write_text(GOOD)
    out = tmp_path / "out"
    command = ["study", "smoke", "--methods", "lora-r4", "--seeds", "1", *SMALL, "--out", str(out)]
    assert main([*command, "--data", str(data)]) in (0, 3)
    before = json.loads((out / "results.json").read_text())
    capsys.readouterr()
    assert "steps" in refused([*command, "--data", str(data), "--steps", "3"], capsys)
    assert json.loads((out / "results.json").read_text()) == before
