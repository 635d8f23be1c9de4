"""A base whose end of sequence is not the template's end of turn: what is trained to end so stops so, everywhere."""

import json

import pytest
import torch
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from rankwise.adapters import attach, save
from rankwise.data import Example, Message, Splits
from rankwise.data.render import encode, prompt_ids
from rankwise.engine import make_quiz
from rankwise.engine.evaluation.generate import greedy, stop_ids, taught_ends
from rankwise.engine.reference import example_nll
from rankwise.integrations.export.run import TARGETS, export
from rankwise.integrations.live import open_live
from rankwise.integrations.merge import merge
from rankwise.integrations.scoring import score
from rankwise.integrations.streaming import stream
from rankwise.methods import lora
from rankwise.models import Base, byte_tokenizer, fingerprint, tiny_model

TURN, TEXT = 257, 258
ASKED = (Message("user", "5?"),)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Such a base, and an adapter on it that has learned to say 7."""
    folder = tmp_path_factory.mktemp("ends")
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    tokenizer.eos_token = tokenizer.pad_token = "<|endoftext|>"
    model = tiny_model(vocab=259)
    model.generation_config = GenerationConfig(bos_token_id=256, eos_token_id=TEXT, pad_token_id=TEXT, max_length=99)
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    own = fingerprint(model)
    handle = attach(model, lora(8), seed=0)
    rows = list(handle.trainable().values())
    step = torch.optim.AdamW(rows, lr=2e-2)
    example = encode(Example((*ASKED, Message("assistant", "7"))), tokenizer)
    assert example.input_ids[-1] == TURN
    for _ in range(30):
        step.zero_grad()
        example_nll(model, example).backward()
        step.step()
    save(handle, folder / "adapter", base_model=str(folder / "base"), base_fingerprint=own)
    return folder, example


def test_generate_streaming_and_exact_match_stop_where_training_did(folders):
    folder, example = folders
    live = open_live(folder / "adapter", dtype=None)
    assert stop_ids(live.base) == [TURN, TEXT]
    assert taught_ends(live.base) == [TURN]
    ids = prompt_ids(ASKED, live.base.tokenizer)
    assert greedy(live.base, [ids], max_new_tokens=20) == ["7"]
    assert stream(live.base, ids, lambda _: None, max_new_tokens=20) == "7"
    assert make_quiz([example], live.base.tokenizer, 1).take(live.base) == (True,)
    assert score(live.base, live.handle, [example], 1).adapter.right.right == 1


def test_the_merged_folder_stops_by_itself(folders, tmp_path):
    folder, _ = folders
    done = merge(str(folder / "base"), folder / "adapter", tmp_path / "out")
    assert "a reply ends with <|im_end|>, which generation_config.json says now" in done.notes
    before, after = (
        json.loads((f / "generation_config.json").read_text()) for f in (folder / "base", tmp_path / "out")
    )
    assert after == {**before, "eos_token_id": [TEXT, TURN]}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = torch.tensor([prompt_ids(ASKED, tokenizer)])
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    said = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20)
    assert tokenizer.decode(said[0, ids.shape[1] :]) == "7<|im_end|>"


def test_a_base_without_a_generation_config_gets_one_where_it_is_needed(folders, tmp_path):
    folder, _ = folders
    (folder / "base" / "generation_config.json").rename(folder / "kept")
    try:
        merge(str(folder / "base"), folder / "adapter", tmp_path / "out", check=False)
    finally:
        (folder / "kept").rename(folder / "base" / "generation_config.json")
    written = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert set(written["eos_token_id"]) == {TURN, TEXT}
    assert "_from_model_config" not in written


@pytest.mark.parametrize("target", TARGETS)
def test_exported_folders_say_it(folders, tmp_path, target):
    folder, _ = folders
    if target == "gguf":
        pytest.importorskip("gguf")
    export(open_live(folder / "adapter"), target, tmp_path / "out", **({"max_rank": 16} if target == "vllm" else {}))
    assert GenerationConfig.from_pretrained(tmp_path / "out").eos_token_id == [TEXT, TURN]


def test_an_end_that_is_an_ordinary_token_is_not_streamed_either():
    base = Base(tiny_model(tied=False), byte_tokenizer(), "tiny", "x")
    prompt = [200]
    with torch.no_grad():
        first = int(base.model(input_ids=torch.tensor([prompt])).logits[0, -1].argmax())
    assert first < 256
    assert stream(base, prompt, lambda _: None, max_new_tokens=6) == greedy(base, [prompt], max_new_tokens=6)[0] != ""
    base.model.generation_config = GenerationConfig(eos_token_id=first)
    assert stream(base, prompt, lambda _: None, max_new_tokens=6) == greedy(base, [prompt], max_new_tokens=6)[0] == ""


def test_a_run_that_is_judged_by_more_ends_has_a_key_of_its_own(folders, tiny_base, tmp_path):
    from rankwise.execution.progress import Progress
    from rankwise.ledger.folder import StudyFolder
    from rankwise.ledger.store import Ledger
    from rankwise.studies.presets.scales import default_rate
    from rankwise.studies.running.runner import Runner, Trial
    from rankwise.studies.running.single_config import single_config

    folder, example = folders
    config, arm = single_config(lora(4), "smoke", {"exact_match": 1}, default_rate("smoke", lora(4)))
    own = encode(Example((*ASKED, Message("assistant", "7"))), tiny_base.tokenizer)
    live = open_live(folder / "adapter", dtype=None)
    asked = []
    for base, row in ((tiny_base, own), (live.base, example)):
        with Ledger(tmp_path / base.fingerprint[:8]) as ledger:
            splits = Splits((row,), (row,), (row,), "one", (), "x")
            runner = Runner(config, StudyFolder(tmp_path), ledger, base, splits, Progress())
            asked.append(runner.job(Trial(arm, 1e-3, 1, fresh=True)).identity)
            assert "ends" not in runner.job(Trial(arm, 1e-3, 1, fresh=False)).identity
    assert "ends" not in asked[0]
    assert asked[1]["ends"] == [TURN]
