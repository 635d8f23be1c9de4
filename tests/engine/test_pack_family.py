"""Packed = alone for what needs more than two factors: data at the start, shared and frozen tensors, codes for W0."""

import importlib.util
from dataclasses import replace

import pytest
import torch

from rankwise.adapters import attach
from rankwise.engine import Forward
from rankwise.engine.batches import collate
from rankwise.methods import build, lora, qlora
from rankwise.models import fingerprint, load_base, tiny_model

from .packing import alone, packed, same, spec

pytestmark = pytest.mark.exactness

SHORT = {"steps": 3, "eval_steps": (2,)}
FAMILY = {
    "adalora": spec(build("adalora", rank=4), **SHORT),
    "vera": spec(build("vera", rank=4), **SHORT),
    "vera again": spec(build("vera", rank=3, dropout=0.2), **SHORT, batch=3, seed=2),
    "lora_xs": spec(build("lora_xs", rank=4, placement="attention"), **SHORT),
    "lora_fa": spec(build("lora_fa", rank=4), **SHORT, batch=5),
    "milora": spec(build("milora", rank=3), **SHORT),
    "corda": spec(build("corda", rank=3), **SHORT),
    "eva": spec(build("eva", rank=4), **SHORT, seed=3),
    "lora_ga": spec(build("lora_ga", rank=2), **SHORT),
    "ia3": spec(build("ia3"), **SHORT, batch=6),
    "tied_lora": spec(build("tied_lora", rank=3), **SHORT),
    "vb_lora": spec(build("vb_lora", length=16, vectors=8), **SHORT, batch=5),
    "nola": spec(build("nola", rank=3, bases=5), **SHORT),
    "loha": spec(build("loha", rank=3, dropout=0.2), **SHORT),
    "bottleneck": spec(build("bottleneck", rank=3), **SHORT, seed=4),
    "ln_tuning": spec(build("ln_tuning"), **SHORT),
    "prompt_tuning": spec(build("prompt_tuning", tokens=3), **SHORT),
    "prefix_tuning": spec(build("prefix_tuning", tokens=3), **SHORT, batch=5),
    "hybrid": spec(build("hybrid", rank=2, width=3, tokens=3), **SHORT, seed=5),
    "longlora": spec(build("longlora", rank=2), **SHORT, batch=3),
    "boft": spec(build("boft", factors=2), **SHORT),
    "fourierft": spec(build("fourierft", frequencies=50), **SHORT, seed=2),
    "spectral_adapter": spec(build("spectral_adapter", rank=3, form="rotational"), **SHORT),
}


@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.slow)], ids=["float32", "bfloat16"]
)
def test_packed_is_alone(dtype, tiny_splits, tmp_path):
    base = load_base("tiny", dtype=dtype)
    before = fingerprint(base.model)
    by_itself = alone(base, tiny_splits, FAMILY, tmp_path / "alone")
    assert len({tuple(r.losses) for r in by_itself[0].values()}) == len(FAMILY)
    same(by_itself, packed(base, tiny_splits, FAMILY, tmp_path / "packed"))
    if dtype == torch.float32:
        same(by_itself, packed(base, tiny_splits, dict(reversed(FAMILY.items())), tmp_path / "late", width=3))
    assert fingerprint(base.model) == before


def test_biases_packed_are_alone(tiny_base, tiny_splits, tmp_path):
    base = replace(tiny_base, model=tiny_model(kind="gpt2").eval())
    specs = {f"bitfit {i}": spec(build("bitfit"), **SHORT, seed=i, batch=3 + i) for i in range(2)}
    same(alone(base, tiny_splits, specs, tmp_path / "a"), packed(base, tiny_splits, specs, tmp_path / "b"))


def test_only_runs_over_the_same_codes_share_a_pass(tiny_base, tiny_splits, tmp_path):
    """Codes under one run are codes under all: what sees another W0 waits until they are gone."""
    if importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("storage 'nf4' needs bitsandbytes: pip install 'rankwise[quant]'")
    specs = {
        "lora": spec(lora(4), **SHORT),
        "qlora": spec(qlora(4), **SHORT),
        "qlora beside it": spec(qlora(2, 8), **SHORT, seed=4),
        "qlora elsewhere": spec(qlora(4, placement="mlp"), **SHORT),
        "loftq": spec(build("loftq", rank=2), **SHORT),
        "qpissa": spec(build("qpissa", rank=2), **SHORT),
        "lora last": spec(lora(2), **SHORT),
    }
    by_itself = alone(tiny_base, tiny_splits, specs, tmp_path / "alone")
    assert all(result.status == "done" for result in by_itself[0].values())
    same(by_itself, packed(tiny_base, tiny_splits, specs, tmp_path / "packed"))
    same(by_itself, packed(tiny_base, tiny_splits, dict(reversed(specs.items())), tmp_path / "back"))


@pytest.mark.parametrize("method", ["lora_fa", "milora", "vera", "adalora", "lora_xs", "ia3"])
def test_the_engines_form_is_the_formula_in_float64(method, tiny_splits):
    """Losses and gradients of a pass of the engine beside those of the model called as anybody would."""
    base = load_base("tiny", dtype=torch.float64)
    forward, batch = Forward(base.model), collate(tiny_splits.train[:3])
    handle = attach(base.model, build(method, **({} if method == "ia3" else {"rank": 4})))
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in handle.trainable().values():
            p.add_(0.1 * torch.randn(p.shape, generator=stream, dtype=p.dtype))
    parameters = list(handle.trainable().values())
    (mine,) = forward.nll_many([("default", batch)])
    logits = base.model(input_ids=batch.ids, attention_mask=batch.attention_mask, use_cache=False).logits
    stock = torch.nn.functional.cross_entropy(logits[batch.rows, batch.columns], batch.next_ids, reduction="none")
    torch.testing.assert_close(mine, stock, rtol=1e-10, atol=1e-10)
    for one, two in zip(*(torch.autograd.grad(nll.sum(), parameters) for nll in (mine, stock)), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)
    frozen = [t for slot in handle.slots.values() for t in slot.buffers()]
    assert not any(t.requires_grad or t.grad is not None for t in frozen)
    handle.detach()
