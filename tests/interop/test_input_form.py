"""What lies beside an adapter decides how its input is written: the form of its training data, tokenizer, template."""

from __future__ import annotations

import json
import shutil

import pytest
from tokenizers import Tokenizer

from rankwise.cli.main import main
from rankwise.data import Limits, asked_in, load_data
from rankwise.data.render import prompt_ids
from rankwise.engine import TrainSpec, train
from rankwise.engine.evaluation.generate import greedy, prompt_of
from rankwise.errors import UsageError
from rankwise.integrations.export import export
from rankwise.integrations.live import open_live
from rankwise.methods import lora
from rankwise.models import byte_tokenizer, load_base, read_form
from rankwise.models.beside import FORM

from .tools import adapter_folder, base_folder

pytestmark = pytest.mark.filterwarnings("ignore")
OTHER = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}<|im_end|>{% endfor %}[assistant] "
ASKED = [f"{a}{b}=" for a in "abcdef" for b in "abcdef"]


def prompt_in(form, text, tokenizer):
    asked = asked_in(form, text)
    return prompt_ids(asked.messages, tokenizer, chat=asked.chat)


def rows(kind):
    for asked in ASKED:
        reply = asked[1::-1]
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": reply}]
        opening = [{"role": "system", "content": "Turn it around."}] if kind == "system" else []
        yield {"prompt": asked, "completion": reply} if kind == "plain" else {"messages": [*opening, *turns]}


@pytest.fixture(scope="module", params=[True, False], ids=["template", "no template"])
def made(request, tmp_path_factory):
    """A base with a chat template or without, and an adapter for every kind of training data."""
    folder = tmp_path_factory.mktemp("forms")
    base_folder(folder / "base")
    if not request.param:
        tokenizer = byte_tokenizer()
        tokenizer.chat_template = None
        (folder / "base" / "chat_template.jinja").unlink()
        tokenizer.save_pretrained(folder / "base")
    base = load_base(str(folder / "base"))
    for kind in ("plain", "chat", "system"):
        (folder / f"{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(kind)))
        splits = load_data(str(folder / f"{kind}.jsonl"), base.tokenizer, limits=Limits(None, 2, 4))
        train(base, TrainSpec(lora(4), lr=1e-2, steps=3, batch=4), splits, save_to=folder / kind)
    return folder


@pytest.mark.parametrize("kind", ["plain", "chat", "system"])
def test_generate_writes_a_prompt_as_training_did(made, kind, capsys, tmp_path):
    pytest.importorskip("peft").PeftModel.from_pretrained(load_base(str(made / "base")).model, made / kind)
    live = open_live(made / kind, dtype=None)
    splits = load_data(str(made / f"{kind}.jsonl"), live.base.tokenizer, limits=Limits(None, 2, 4))
    learned = {prompt_of(example) for example in splits.train}
    written = {tuple(prompt_in(live.form, asked, live.base.tokenizer)) for asked in ASKED}
    assert learned <= written
    options = ["--max-new-tokens", "4", "--json"]
    assert main(["generate", ASKED[0], "--adapter", str(made / kind), *options]) == 0
    said = json.loads(capsys.readouterr().out)["text"]
    ids = prompt_in(live.form, ASKED[0], live.base.tokenizer)
    assert said == greedy(live.base, [ids], max_new_tokens=4)[0]
    live.handle.detach()
    (tmp_path / "unknown").mkdir()
    for path in (made / kind).iterdir():
        if path.name != FORM:
            shutil.copyfile(path, tmp_path / "unknown" / path.name)
    assert open_live(tmp_path / "unknown", dtype=None).form is None
    raw, chat = (["generate", ASKED[0], "--adapter", str(made / kind), *options, flag] for flag in ("--raw", "--chat"))
    assert main([*raw, "--system", "x"]) == 2
    system = ["generate", ASKED[0], "--adapter", str(made / kind), *options, "--system", "x"]
    assert main(system) == 2 * (kind == "plain")
    assert main(chat) == 0


@pytest.mark.parametrize("kind", ["plain", "chat", "system"])
@pytest.mark.parametrize("data", ["plain", "chat", "system"])
def test_eval_reads_any_data_in_the_adapters_form(made, kind, data):
    """Where no word has to change: a system message that the rows have stays."""
    base = load_base(str(made / "base"))
    form = read_form(made / kind)
    limits = Limits(None, 2, 4)
    splits = load_data(str(made / f"{data}.jsonl"), base.tokenizer, limits=limits, form=form)
    as_they_are = load_data(str(made / f"{data}.jsonl"), base.tokenizer, limits=limits)
    if data == "system" or kind == data:
        assert splits.test == as_they_are.test
    else:
        prompts = {tuple(prompt_in(form, asked, base.tokenizer)) for asked in ASKED}
        assert {prompt_of(example) for example in splits.test} <= prompts
        assert "examples are written as the adapter's training data were" in splits.notes[-1]
    assert ("stay in another form" in " ".join(splits.notes)) == (kind == "plain" and data == "system")


def test_the_form_goes_along_and_a_damaged_one_is_refused(made, tmp_path, capsys):
    adapter = str(made / "plain")
    assert main(["merge", str(made / "base"), adapter, "--out", str(tmp_path / "m")]) == 0
    assert main(["export", adapter, "--for", "peft", "--out", str(tmp_path / "p")]) == 0
    assert main(["compress", adapter, "--rank", "2", "--out", str(tmp_path / "c")]) == 0
    assert {read_form(tmp_path / name) for name in "mpc"} == {read_form(made / "plain")}
    capsys.readouterr()
    options = ["--max-new-tokens", "4", "--json"]
    assert main(["generate", ASKED[0], "--model", str(tmp_path / "m"), *options]) == 0
    assert main(["generate", ASKED[0], "--adapter", adapter, *options]) == 0
    merged, live = capsys.readouterr().out.splitlines()
    assert merged == live
    for text in ("{", "[]", '{"chat": 3}', '{"chat": true, "other": 1}', (tmp_path / "m" / FORM).read_text()[:-30]):
        (tmp_path / "c" / FORM).write_text(text)
        assert main(["generate", "a", "--adapter", str(tmp_path / "c")]) == 2
        assert FORM in capsys.readouterr().err


def lacks_merges(folder):
    """A tokenizer that spells every byte, with the base's ids in another order."""
    tokenizer = byte_tokenizer()
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = state["model"]["vocab"]
    vocabulary["A"], vocabulary["B"] = vocabulary["B"], vocabulary["A"]
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.save_pretrained(folder)


def other_template(folder):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = OTHER
    tokenizer.save_pretrained(folder)


def template_file(folder):
    (folder / "chat_template.jinja").write_text(OTHER)


def template_setting(folder):
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": OTHER}))


BESIDE = {
    "a template file": (template_file, "chat template"),
    "a template in the settings": (template_setting, "chat template"),
    "a tokenizer with another template": (other_template, "chat template"),
    "another tokenizer": (lacks_merges, "tokenizer"),
    "the base's own": (lambda folder: byte_tokenizer().save_pretrained(folder), ""),
}


@pytest.mark.parametrize("name", BESIDE)
def test_files_beside_an_adapter_write_its_input_in_every_command(name, tmp_path, capsys):
    put, what = BESIDE[name]
    adapter = adapter_folder(base_folder(tmp_path / "base"), tmp_path / "a", lora(4), tmp_path / "base", move=0.3)
    put(adapter)
    live = open_live(adapter, dtype=None)
    own = live.base.tokenizer
    assert (own.chat_template == OTHER) == (what == "chat template")
    assert bool(live.notes) == bool(what)
    assert own("AB")["input_ids"] == ([66, 65] if what == "tokenizer" else [65, 66])
    command = ["generate", "AB?", "--max-new-tokens", "3"]
    assert main([*command, "--adapter", str(adapter)]) == 0
    out, err = capsys.readouterr()
    assert (f"input is written by the {what} in {adapter}" in err) == bool(what)
    ids = prompt_in(None, "AB?", own)
    from rankwise.report.clean import clean_text

    assert out.strip() == clean_text(greedy(live.base, [ids], max_new_tokens=3)[0]).strip()
    merging = ["merge", str(tmp_path / "base"), str(adapter), "--out", str(tmp_path / "m"), "--json", "--no-verify"]
    assert main(merging) == 0
    assert any(what in note for note in json.loads(capsys.readouterr().out)["notes"]) == bool(what)
    merged = load_base(str(tmp_path / "m")).tokenizer
    assert prompt_in(None, "AB?", merged) == ids
    again = export(open_live(adapter), "peft", tmp_path / "p")
    assert prompt_in(None, "AB?", open_live(tmp_path / "p").base.tokenizer) == ids
    assert bool(what) == any(str(adapter) in note for note in again.notes)
    if what == "tokenizer":
        assert main(["eval", str(adapter), "--examples", "1", "--answers", "0"]) == 0
        assert str(adapter) in capsys.readouterr().err
        gguf = export(open_live(adapter), "gguf", tmp_path / "g")
        assert any("llama.cpp takes them from the base's file" in note for note in gguf.notes)


def test_a_tokenizer_that_cannot_be_used_is_one_sentence(tmp_path, capsys):
    adapter = adapter_folder(base_folder(tmp_path / "base"), tmp_path / "a", lora(4), tmp_path / "base")
    more = byte_tokenizer()
    more.add_tokens(["<new>"])
    more.save_pretrained(adapter)
    for words in ("has ids up to 258, but the base's embedding has 258 rows", "cannot be read"):
        for command in (
            ["generate", "x", "--adapter", str(adapter)],
            ["merge", str(tmp_path / "base"), str(adapter), "--out", str(tmp_path / "m")],
        ):
            assert main(command) == 2
            assert words in capsys.readouterr().err
        (adapter / "tokenizer.json").write_text("{")
    assert not (tmp_path / "m").exists()
    for name in ("tokenizer.json", "chat_template.jinja"):
        (adapter / name).unlink()
    (adapter / "tokenizer_config.json").write_text("{")
    with pytest.raises(UsageError, match=r"chat template in .* cannot be read"):
        open_live(adapter)
