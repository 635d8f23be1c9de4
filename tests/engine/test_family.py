"""The loop trains what needs more than two factors: data at the start, codes for W0, shared and frozen tensors."""

from __future__ import annotations

import importlib.util

import pytest

from rankwise.engine import Forward, TrainSpec, evaluate, train
from rankwise.methods import build
from rankwise.models import fingerprint

PLAIN = ("adalora", "vera", "lora_xs", "lora_fa", "milora", "corda", "eva", "lora_ga", "ia3")
CODES = ("qlora", "loftq", "qpissa")
OPTIONS = {"ia3": {}, "lora_ga": {"rank": 2}}


@pytest.mark.parametrize("method", [*PLAIN, *CODES])
def test_every_method_learns_and_leaves_the_base_as_it_was(method, tiny_base, tiny_splits, tmp_path):
    if method in CODES and importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("storage 'nf4' needs bitsandbytes: pip install 'rankwise[quant]'")
    before, base = fingerprint(tiny_base.model), evaluate(Forward(tiny_base.model), tiny_splits.selection).mean
    spec = TrainSpec(build(method, **OPTIONS.get(method, {"rank": 4})), lr=2e-2, steps=8, batch=8)
    one = train(tiny_base, spec, tiny_splits, test=True, save_to=tmp_path)
    again = train(tiny_base, spec, tiny_splits, test=True)
    assert one.status == "done"
    assert one.selection_nll is not None
    assert one.selection_nll < base
    assert one.losses == again.losses, "repeatable, data-driven starts too"
    assert fingerprint(tiny_base.model) == before
    assert (tmp_path / "adapter_model.safetensors").exists()
