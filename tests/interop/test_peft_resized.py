"""What PEFT saves of a model whose vocabulary was resized: the advice on the old base, and then the very function."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from rankwise.adapters import load, save
from rankwise.errors import UsageError
from rankwise.integrations.export import export
from rankwise.integrations.live import open_live
from rankwise.integrations.merge import merge
from rankwise.models import load_base

from .tools import base_folder

pytestmark = pytest.mark.filterwarnings("ignore")
IDS = torch.arange(40)[None] * 7 % 270
OPTIONS = {
    "tables saved unasked": {"target_modules": ["q_proj"]},
    "adapted embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "adapted head": {"target_modules": ["q_proj", "lm_head"]},
    "whole embedding": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "whole tables": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "one for both": {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True},
}


@pytest.fixture(scope="module")
def peft():
    return pytest.importorskip("peft")


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS, use_cache=False).logits


def resized(base, folder, seed):
    """Follow the advice: transformers draws the new rows at random."""
    model = load_base(str(base), dtype=torch.float32).model
    torch.manual_seed(seed)
    model.resize_token_embeddings(270)
    model.save_pretrained(folder)
    for path in base.glob("token*"):
        (folder / path.name).write_bytes(path.read_bytes())
    return model


UNTIED = ["tables saved unasked", "adapted head"]


@pytest.mark.parametrize(("what", "tied"), [*((what, True) for what in OPTIONS), *((what, False) for what in UNTIED)])
def test_the_advice_leads_to_the_function_that_peft_loads(peft, what, tied, tmp_path):
    base, grown, adapter = tmp_path / "base", tmp_path / "grown", tmp_path / "a"
    base_folder(base, tied=tied)
    trained = resized(base, tmp_path / "trained", seed=1)
    config = peft.LoraConfig(r=4, task_type="CAUSAL_LM", init_lora_weights=False, **OPTIONS[what])
    theirs = peft.get_peft_model(trained, config)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "modules_to_save" in name:
                parameter.mul_(1.3)
    theirs.save_pretrained(adapter)
    with pytest.raises(
        UsageError, match=r"knows 270 tokens, this model 258\. .*resize_token_embeddings\(270\)"
    ) as error:
        load(load_base(str(base)).model, adapter)
    assert "\n" not in str(error.value)
    resized(base, grown, seed=2)
    expected = logits(peft.PeftModel.from_pretrained(load_base(str(grown), dtype=torch.float32).model, adapter))
    bare = load_base(str(grown), dtype=torch.float32).model
    before = logits(bare)
    handle = load(bare, adapter)
    torch.testing.assert_close(logits(bare), expected, rtol=1e-4, atol=1e-4)
    save(handle, tmp_path / "again")
    ours = {name: tensor for name, tensor in load_file(tmp_path / "again" / "adapter_model.safetensors").items()}
    for name, tensor in load_file(adapter / "adapter_model.safetensors").items():
        if "original_module" not in name and "modules_to_save" not in name:
            assert torch.equal(ours[name], tensor), name
    fresh = load_base(str(grown), dtype=torch.float32).model
    load(fresh, tmp_path / "again")
    assert torch.equal(logits(fresh), logits(bare))
    handle.detach()
    assert torch.equal(logits(bare), before)
    if what in ("tables saved unasked", "adapted embedding"):
        export(open_live(adapter, str(grown)), "peft", tmp_path / "exported")
        elsewhere = peft.PeftModel.from_pretrained(
            load_base(str(grown), dtype=torch.float32).model, tmp_path / "exported"
        )
        torch.testing.assert_close(logits(elsewhere), expected, rtol=1e-4, atol=1e-4)
        with pytest.raises(UsageError, match=r"whole tensors \(.*model\.embed_tokens\.weight"):
            export(open_live(adapter, str(grown)), "vllm", tmp_path / "served")
    done = merge(str(grown), adapter, tmp_path / "out", check=False)
    merged = load_base(str(tmp_path / "out"), dtype=torch.float32).model
    torch.testing.assert_close(logits(merged), expected, rtol=1e-4, atol=1e-4)
    still = json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"]
    assert still is (tied and what in ("tables saved unasked", "whole tables")), "replaced by the same, they stay tied"
    assert done.untied is (tied and not still)


def test_a_table_of_another_base_is_refused(peft, tmp_path):
    """Only the last rows may differ from the base's."""
    base_folder(tmp_path / "base")
    model = resized(tmp_path / "base", tmp_path / "grown", seed=1)
    theirs = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["embed_tokens"]))
    with torch.no_grad():
        model.get_input_embeddings().weight[3] += 1
    theirs.save_pretrained(tmp_path / "a")
    with pytest.raises(UsageError, match=r"is not this model's model\.embed_tokens\.weight"):
        load(load_base(str(tmp_path / "grown"), dtype=torch.float32).model, tmp_path / "a")
    with pytest.raises(UsageError, match=r"is not the base's model\.embed_tokens\.weight"):
        merge(str(tmp_path / "grown"), tmp_path / "a", tmp_path / "out")
