"""W0 in NF4: bitsandbytes held against the published code book, the base given back, LoftQ's and QPiSSA's claims."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from rankwise.adapters import Adapter, attach
from rankwise.adapters.inits import PiSSA
from rankwise.adapters.storages import NF4
from rankwise.errors import UsageError
from rankwise.methods import dora, loftq, lora, pissa, qlora, qpissa, vera

from ..contract.models import GPT2, LLAMA, SEQUENTIAL
from ..contract.tools import as_stored, base_hash, close, files_come_back, loss, move, run, with_weights

pytest.importorskip("bitsandbytes", reason="storage 'nf4' needs bitsandbytes: pip install 'rankwise[quant]'")

# The code book of NF4 (docs/design/formulas.md#quantized-bases).
BELOW = (-1, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500)
ABOVE = (0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1)
BOOK = torch.tensor([*BELOW, 0, *ABOVE])
models = pytest.mark.parametrize("tiny", [SEQUENTIAL, LLAMA, GPT2], ids=["sequential", "llama", "gpt2"])


def _by_hand(W):
    """Blocks of 64 in memory order, each to the nearest of 16 values times its largest magnitude."""
    flat = W.flatten().float()
    out = torch.empty_like(flat)
    for i in range(0, len(flat), 64):
        block = flat[i : i + 64]
        scale = block.abs().max()
        out[i : i + 64] = BOOK[(block[:, None] / scale - BOOK).abs().argmin(1)] * scale
    return out.view(W.shape)


@pytest.mark.parametrize("shape", [(48, 16), (12, 8), (7, 9), (64, 128)])
def test_codes_are_the_nearest_of_the_code_book_also_for_rows_narrower_than_a_block(shape):
    """bitsandbytes 0.50 on the CPU dequantizes (48, 16) wrongly unless it is flat."""
    W = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(NF4(double=False).round_trip(W), _by_hand(W), rtol=1e-6, atol=1e-6)
    rounded = NF4().round_trip(W)
    assert (rounded - _by_hand(W)).abs().max() < 0.05 * W.abs().max(), "double quantization rounds the scales only"


def test_zero_stays_zero_and_a_second_time_changes_nothing():
    W = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    W[3] = 0
    once = NF4(double=False).round_trip(W)
    assert not once[3].any()
    torch.testing.assert_close(NF4(double=False).round_trip(once), once)


def test_bits_per_weight():
    """4.127 with double quantization, 4.5 without (code books of a few hundred entries apart)."""
    W = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(0))
    for double, bits in ((True, 4.127), (False, 4.5)):
        assert 8 * NF4(double).encode(W).bytes() / W.numel() == pytest.approx(bits, rel=0.01)


def test_nf4_beats_symmetric_uniform_four_bits_on_normal_weights():
    """At one scale per block. (Uniform codes between each block's minimum and maximum, two numbers, beat both.)"""
    W = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    blocks = W.view(-1, 64)
    step = blocks.abs().amax(1, keepdim=True) / 7
    uniform = ((blocks / step).round() * step).view(W.shape)
    assert (NF4().round_trip(W) - W).norm() < 0.95 * (uniform - W).norm()


@models
def test_qlora_is_the_low_rank_update_of_the_quantized_base(tiny):
    model, base = tiny.make(), tiny.make()
    before, logits = base_hash(model), run(model, tiny)
    handle = attach(model, qlora(4, 8))
    quantized = {f"{path}.weight": NF4().round_trip(base.get_submodule(path).weight.detach()) for path in tiny.shapes}
    at_start = with_weights(base, quantized, tiny).detach()
    close(run(model, tiny), at_start)
    assert (at_start - logits).abs().max() > 1e-3, "four bits are not sixty-four"
    move(handle)
    dense = {
        f"{path}.weight": quantized[f"{path}.weight"] + as_stored(base.get_submodule(path), handle.delta(path))
        for path in tiny.shapes
    }
    expected = with_weights(base, dense, tiny).detach()
    close(run(model, tiny), expected)

    leaves = {name: p.detach().clone().requires_grad_() for name, p in handle.trainable().items()}
    rebuilt = {}
    for path in tiny.shapes:
        delta = 2.0 * leaves[f"{path}.B"] @ leaves[f"{path}.A"]
        rebuilt[f"{path}.weight"] = quantized[f"{path}.weight"] + as_stored(base.get_submodule(path), delta)
    gradients = torch.autograd.grad(with_weights(base, rebuilt, tiny).square().mean(), list(leaves.values()))
    loss(model, tiny).backward()
    for p, gradient in zip(handle.trainable().values(), gradients, strict=True):
        close(p.grad, gradient)

    handle.merge()
    close(run(model, tiny), expected)
    handle.unmerge()
    close(run(model, tiny), expected)
    handle.detach()
    assert base_hash(model) == before, "the base comes back bit for bit"
    assert torch.equal(run(model, tiny), logits)


def test_between_forward_and_backward_only_codes_are_kept():
    model = nn.Sequential(nn.Linear(256, 256, bias=False), nn.Tanh(), nn.Linear(256, 256, bias=False))
    attach(model, qlora(2, 2))
    kept = []

    def pack(t):
        kept.append(t.numel())
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        model(torch.randn(3, 256))
    assert max(kept) < 256 * 256


def test_several_adapters_share_the_codes_and_another_form_is_refused(tmp_path):
    model = LLAMA.make()
    one, two = attach(model, qlora(4, 8), name="one"), attach(model, lora(2), name="two")
    layer = next(iter(one.layers.values()))
    assert one.slots[next(iter(one.layers))]._base[0] is layer.stored.codes
    move(one)
    move(two)
    both = run(model, LLAMA)
    with two.disable():
        assert not torch.equal(run(model, LLAMA), both)
    with pytest.raises(UsageError, match="cannot keep it as NF4"):
        attach(model, qlora(2, block=128), name="three")
    with pytest.raises(UsageError, match="init 'loftq' chooses W0's codes"):
        attach(model, loftq(2), name="three")
    plain = LLAMA.make()
    attach(plain, lora(2))
    with pytest.raises(UsageError, match="keeps W0 as it is for another adapter"):
        attach(plain, qlora(2), name="second")


@pytest.mark.parametrize("adapter", [qlora(4, 8), loftq(4, 6), qpissa(4), dora(4, 8)], ids=lambda a: a.init.name)
def test_what_is_saved_comes_back_with_the_same_bits(adapter, tmp_path):
    if adapter.parametrization.name == "weight-decomposed":
        adapter = Adapter.from_dict({**adapter.to_dict(), "storage": "nf4"})
    files_come_back(LLAMA, adapter, tmp_path)


@models
def test_loftq_is_nearer_to_w0_than_rounding_and_does_not_depend_on_alpha(tiny):
    plain = tiny.make()
    one, other = attach(tiny.make(), loftq(3, 3)), attach(tiny.make(), loftq(3, 12))
    for path in tiny.shapes:
        module = plain.get_submodule(path)
        W0 = as_stored(module, module.weight.detach())
        rounded = as_stored(module, NF4().round_trip(module.weight.detach()))
        slot = one.slots[path]
        assert (slot.W0 + one.delta(path) - W0).norm() < (rounded - W0).norm()
        close(one.delta(path), other.delta(path))


def test_one_step_of_loftq_is_the_best_correction_of_rounding():
    """LoftQ with one step equals LQER (arXiv 2402.02446): [W0 - Q]_r; further steps do not hurt here."""
    plain = LLAMA.make()
    errors = {}
    for steps in (1, 2, 5):
        handle = attach(LLAMA.make(), loftq(3, 3, steps=steps))
        errors[steps] = 0.0
        for path in LLAMA.shapes:
            W0 = plain.get_submodule(path).weight.detach()
            slot = handle.slots[path]
            errors[steps] += (slot.W0 + handle.delta(path) - W0).norm().item() ** 2
            if steps == 1:
                U, S, Vh = torch.linalg.svd(W0 - NF4().round_trip(W0))
                close(handle.delta(path), U[:, :3] * S[:3] @ Vh[:3])
    assert errors[5] < errors[1]


def test_one_step_of_qpissa_has_pissas_factors_over_the_rounded_residual():
    handle, unquantized = attach(LLAMA.make(), qpissa(3, steps=1)), attach(LLAMA.make(), pissa(3))
    for path in LLAMA.shapes:
        W0 = LLAMA.make().get_submodule(path).weight.detach()
        A, B = (unquantized.slots[path].start[n] for n in "AB")
        close(handle.delta(path), B @ A)
        close(handle.slots[path].W0, NF4().round_trip(W0 - B @ A))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NF4(block=100), "block of storage 'nf4' must be one of 64, 128"),
        (lambda: loftq(steps=0), "steps of init 'loftq' must be a whole number of at least 1, found 0"),
        (lambda: Adapter.from_dict({"init": "loftq"}), "init 'loftq' starts from what a quantized storage makes of W0"),
        (
            lambda: Adapter.from_dict({"init": "loftq", "storage": "nf4", "dropout": 0.1}),
            r"dropout 0\.1 with init 'loftq' would change the model",
        ),
        (
            lambda: Adapter.from_dict({"init": "qpissa", "storage": "nf4", "parametrization": "weight-decomposed"}),
            "'weight-decomposed' is defined by W0 itself, and init 'qpissa' replaces it",
        ),
        (lambda: Adapter.from_dict({"init": "lora-ga", "storage": "nf4"}), "needs gradients of W0, which codes"),
    ],
)
def test_what_cannot_be_is_named(make, message):
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize("adapter", [vera(4), lora(4, init=PiSSA(), alpha=4)], ids=["vera", "pissa"])
def test_other_shapes_and_base_editing_inits_sit_on_codes_too(adapter):
    adapter = Adapter.from_dict({**adapter.to_dict(), "storage": "nf4"})
    model, only = LLAMA.make(), LLAMA.make()
    start = attach(only, qlora(2))
    handle = attach(model, adapter)
    close(run(model, LLAMA), run(only, LLAMA))
    move(handle)
    adapted = run(model, LLAMA)
    handle.merge()
    close(run(model, LLAMA), adapted)
    start.detach()


def test_a_model_that_transformers_loaded_in_four_bits_is_a_host():
    import bitsandbytes

    model = nn.Sequential(bitsandbytes.nn.Linear4bit(64, 48, bias=False, quant_type="nf4", compute_dtype=torch.float32))
    W = torch.randn(48, 64, generator=torch.Generator().manual_seed(0))
    model[0].weight = bitsandbytes.nn.Params4bit(W, requires_grad=False, quant_type="nf4", compress_statistics=False)
    model.to("cpu")
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(1))
    before = model(x)
    handle = attach(model, lora(4, 8))
    (match,) = handle.matched
    assert (match.d_out, match.d_in) == (48, 64)
    assert torch.equal(model(x), before)
    move(handle)
    torch.testing.assert_close(model(x), before + x @ handle.delta("0").T, rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match="kept in four bits by bitsandbytes"):
        handle.merge()


@pytest.mark.filterwarnings("ignore")
def test_qlora_agrees_with_peft_on_a_four_bit_layer():
    peft, bitsandbytes = pytest.importorskip("peft"), pytest.importorskip("bitsandbytes")
    W = torch.randn(48, 64, generator=torch.Generator().manual_seed(0))
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(1))

    def theirs():
        layer = bitsandbytes.nn.Linear4bit(64, 48, bias=False, quant_type="nf4", compute_dtype=torch.float32)
        layer.weight = bitsandbytes.nn.Params4bit(W.clone(), requires_grad=False, quant_type="nf4")
        model = nn.Sequential(layer).to("cpu")
        model.is_loaded_in_4bit = True
        return model

    plain = nn.Sequential(nn.Linear(64, 48, bias=False))
    with torch.no_grad():
        plain[0].weight.copy_(W)
    hosted, coded = theirs(), plain
    wrapped = peft.get_peft_model(theirs(), peft.LoraConfig(r=4, lora_alpha=8, target_modules=["0"]))
    layer = wrapped.base_model.model[0]
    assert "Linear4bit" in type(layer).__name__
    for model, adapter in ((hosted, lora(4, 8)), (coded, qlora(4, 8))):
        handle = attach(model, adapter)
        move(handle)
        (slot,) = handle.slots.values()
        with torch.no_grad():
            layer.lora_A["default"].weight.copy_(slot.factors["A"])
            layer.lora_B["default"].weight.copy_(slot.factors["B"])
        torch.testing.assert_close(model(x), wrapped(x), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PEFT's loftq_init needs a GPU")
def test_loftq_comes_as_near_to_w0_as_pefts():
    pytest.importorskip("peft")
    from peft.utils.loftq_utils import loftq_init

    model = nn.Sequential(nn.Linear(128, 64, bias=False)).cuda()
    W0 = model[0].weight.detach().clone()
    rounded, A, B = loftq_init(W0, num_bits=4, reduced_rank=8, num_iter=5)
    theirs = (W0 - rounded.to(W0) - B.to(W0) @ A.to(W0)).norm()
    handle = attach(model, loftq(8, 8))
    (slot,) = handle.slots.values()
    ours = (W0 - slot.W0.to(W0) - handle.delta("0").to(W0)).norm()
    assert abs(ours / theirs - 1) < 0.02


def test_importing_bitsandbytes_says_nothing_and_its_warnings_are_still_shown():
    code = (
        "import logging; from rankwise.adapters.four_bits import functional; functional(); "
        "logging.getLogger('bitsandbytes.backends.cpu.ops').warning('this matters')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "this matters"
