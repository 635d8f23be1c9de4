"""Claims of the papers on other parametrizations, and PEFT's code with the same weights where PEFT has the method."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn

from rankwise import methods
from rankwise.adapters import Adapter, attach, load, save
from rankwise.adapters.parametrizations import PseudoSingular
from rankwise.adapters.parametrizations.kronecker import divisors
from rankwise.adapters.parametrizations.random_basis import bank
from rankwise.adapters.parametrizations.rotation import cayley_minus_identity, skew
from rankwise.adapters.parametrizations.tensor_train import contract, split
from rankwise.errors import UsageError

from ..contract.models import GPT2, LLAMA
from ..contract.tools import close, loss, move, run, train

UP = "model.layers.0.mlp.up_proj"
PLAIN = ["q_proj", "o_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module")
def peft():
    return pytest.importorskip("peft")


def agree(peft, config, adapter, copy, tiny=LLAMA):
    """Give PEFT's layers our moved tensors; the outputs, and those after merging, must be the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        wrapped = peft.get_peft_model(tiny.make(), config).double().eval()
    model = tiny.make()
    handle = attach(model, adapter)
    move(handle)
    with torch.no_grad():
        for path, slot in handle.slots.items():
            copy(wrapped.base_model.model.get_submodule(path), slot.factors)
    ours = run(model, tiny)
    assert (ours - run(tiny.make(), tiny)).abs().max() > 1e-3
    torch.testing.assert_close(run(wrapped, tiny), ours, rtol=1e-6, atol=1e-6)  # PEFT computes some in float32
    return wrapped, handle


# PEFT


def test_vb_lora_agrees_with_peft(peft):
    config = peft.VBLoRAConfig(r=3, num_vectors=6, vector_length=4, topk=2, target_modules="all-linear")

    def copy(layer, f):
        layer.vblora_vector_bank["default"].copy_(f["bank"])
        layer.vblora_logits_A["default"].copy_(f["logits_A"])
        layer.vblora_logits_B["default"].copy_(f["logits_B"])

    agree(peft, config, methods.vb_lora(3, vectors=6, length=4), copy)


def test_loha_agrees_with_peft(peft):
    def copy(layer, f):
        for name, ours in (("w1_a", "B1"), ("w1_b", "A1"), ("w2_a", "B2"), ("w2_b", "A2")):
            getattr(layer, f"hada_{name}")["default"].copy_(f[ours])

    agree(peft, peft.LoHaConfig(r=3, alpha=6, target_modules=PLAIN), methods.loha(3, 6, ",".join(PLAIN)), copy)


def test_lokr_agrees_with_peft(peft):
    def copy(layer, f):
        layer.lokr_w1["default"].copy_(f["C"])
        if "E" in f:
            layer.lokr_w2["default"].copy_(f["E"])
        else:
            layer.lokr_w2_a["default"].copy_(f["B"])
            layer.lokr_w2_b["default"].copy_(f["A"])

    for rank in (1, 8):
        config = peft.LoKrConfig(r=rank, alpha=6, target_modules=PLAIN)
        agree(peft, config, methods.lokr(rank, 6, ",".join(PLAIN)), copy)


def test_oft_agrees_with_peft(peft):
    config = peft.OFTConfig(r=0, oft_block_size=4, use_cayley_neumann=False, target_modules=PLAIN)
    place = ",".join(PLAIN)
    agree(peft, config, methods.oft(place, block=4), lambda layer, f: layer.oft_R["default"].weight.copy_(f["S"]))


def test_boft_of_one_factor_agrees_with_peft(peft):
    def copy(layer, f):
        layer.boft_R["default"].copy_(2 * skew(f["S"], 4).triu())
        layer.boft_s["default"].copy_(f["g"][:, None])

    config = peft.BOFTConfig(boft_block_size=4, target_modules=PLAIN)
    agree(peft, config, methods.boft(",".join(PLAIN), block=4), copy)


def test_hra_agrees_with_peft(peft):
    config = peft.HRAConfig(r=4, target_modules=PLAIN)
    agree(peft, config, methods.hra(4, ",".join(PLAIN)), lambda layer, f: layer.hra_u["default"].copy_(f["U"].T))


def test_fourierft_agrees_with_peft(peft):
    config = peft.FourierFTConfig(n_frequency=60, scaling=20.0, target_modules=PLAIN)
    adapter = methods.fourierft(",".join(PLAIN), frequencies=60, scale=20.0)
    agree(peft, config, adapter, lambda layer, f: layer.fourierft_spectrum["default"].copy_(f["c"]))


@pytest.mark.parametrize("rank", [4, 8])
def test_miss_agrees_with_peft(peft, rank):
    config = peft.MissConfig(r=rank, target_modules=PLAIN)
    agree(
        peft, config, methods.miss(rank, ",".join(PLAIN)), lambda layer, f: layer.miss_block["default"].copy_(f["D"].T)
    )


# 7.2 to 7.5


def test_bilora_gates_start_even_and_stay_what_they_are():
    for values, at_start in (("real", 1.0), ("softmax", 0.25), ("sigmoid", 0.5)):
        slot = attach(LLAMA.make(), Adapter(rank=4, parametrization=PseudoSingular(values))).slots[UP]
        gates = slot.parametrization.gates(slot.factors["e"])
        assert torch.equal(gates, torch.full((4,), at_start, dtype=torch.float64))
        moved = slot.parametrization.gates(slot.factors["e"].detach() + torch.tensor([-3.0, 0.0, 2.0, 9.0]))
        if values == "softmax":
            assert moved.sum() == pytest.approx(1)
        if values == "sigmoid":
            assert ((moved > 0) & (moved < 1)).all()


def test_loretta_contracts_exactly_and_has_few_numbers():
    cores = [torch.randn(shape, dtype=torch.float64) for shape in ((1, 2, 3), (3, 4, 3), (3, 5, 1))]
    dense = torch.einsum("aib,bjc,ckd->ijk", *cores).reshape(-1)
    close(contract(cores).reshape(-1), dense)
    assert (split(576), split(1536), split(192), split(7)) == ((6, 8, 12), (8, 12, 16), (4, 6, 8), (7,))
    assert all(math.prod(split(n)) == n for n in range(1, 200))
    slot = attach(LLAMA.make(), methods.loretta(4, tensor_rank=5)).slots[UP]
    d_out, d_in = 24, 16
    trained = sum(p.numel() for p in slot.trained.values())
    assert trained == (2 * 5 + 5 * 2 * 5 + 5 * 4 * 5 + 5 * 4) + (2 * 5 + 5 * 3 * 5 + 5 * 4 * 5 + 5 * 4)
    A, B, A0, B0 = slot.parametrization.pairs(slot.factors)
    assert (A.shape, B.shape) == ((4, d_in), (d_out, 4))
    assert torch.equal(A, A0)
    assert A.abs().max() > 0, "the shift is not zero"
    assert torch.equal(B, B0)


def test_trilora_and_flora_move_only_the_middle_at_first():
    for adapter, name in ((methods.trilora(4), "e"), (methods.flora_core(4), "C")):
        model = LLAMA.make()
        handle = attach(model, adapter)
        loss(model, LLAMA).backward()
        moved = {key.rpartition(".")[2] for key, p in handle.trainable().items() if p.grad.any()}
        assert moved == {name}
        assert torch.linalg.matrix_rank(handle.delta(UP)) == 0


# 7.6, 7.9 to 7.11


@pytest.mark.parametrize(
    "adapter", [methods.lotr(3), methods.tied_lora(3), methods.tied_lora(3, trains="vu")], ids=repr
)
def test_layers_of_one_width_have_the_same_factors(adapter, tmp_path):
    model = LLAMA.make()
    handle = attach(model, adapter)
    slots = handle.slots
    q, up = slots["model.layers.0.self_attn.q_proj"].factors, slots["model.layers.1.mlp.up_proj"].factors
    assert q["A"] is up["A"], "both read 16 numbers"
    assert q["B"] is slots["model.layers.1.self_attn.o_proj"].factors["B"]
    layers = list(LLAMA.shapes.values())
    pair = 3 * (sum({n for _, n in layers}) + sum({m for m, _ in layers}))
    own = {"shared-core": 9 * len(layers), "tied": sum(3 + m for m, _ in layers)}[adapter.parametrization.name]
    shared = 0 if getattr(adapter.parametrization, "trains", "all") == "vu" else pair
    assert sum(p.numel() for p in handle.trainable().values()) == own + shared
    train(model, LLAMA, handle)
    fresh = LLAMA.make()
    loaded = load(fresh, save(handle, tmp_path))
    assert torch.equal(run(fresh, LLAMA), run(model, LLAMA))
    assert loaded.slots[UP].factors["A"] is loaded.slots["model.layers.1.mlp.up_proj"].factors["A"]


@pytest.mark.parametrize("trains", ["vBuA", "BA", "vu", "vBu", "BuA", "v", "B"])
def test_every_tied_configuration_starts_at_the_base_and_trains_what_it_names(trains):
    model = LLAMA.make()
    before = run(model, LLAMA)
    handle = attach(model, methods.tied_lora(3, trains=trains))
    assert torch.equal(run(model, LLAMA), before)
    assert {name.rpartition(".")[2][0] for name in handle.trainable()} == set(trains)
    train(model, LLAMA, handle)
    assert not torch.equal(run(model, LLAMA), before)


def test_nola_gradients_are_inner_products_with_the_random_matrices():
    model = LLAMA.make()
    handle = attach(model, methods.nola(3, alpha=3, bases=6))
    move(handle)
    loss(model, LLAMA).backward()
    free = LLAMA.make()
    plain = attach(free, methods.lora(3, alpha=3))
    with torch.no_grad():
        for path, slot in plain.slots.items():
            A, B = handle.slots[path].parametrization.pair(handle.slots[path].factors)
            slot.factors["A"].copy_(A)
            slot.factors["B"].copy_(B)
    loss(free, LLAMA).backward()
    R = bank(0, "A", 7, 3, 16, torch.float64, torch.device("cpu"))
    A = plain.slots[UP].factors["A"]
    close(handle.slots[UP].factors["a"].grad, torch.einsum("knr,rn->k", R[:6], A.grad) / math.sqrt(6))
    assert sum(p.numel() for p in handle.trainable().values()) == 12 * len(handle.layers), "whatever rank and width are"
    bank.cache_clear()
    assert torch.equal(bank(0, "A", 7, 3, 16, torch.float64, torch.device("cpu")), R), "it comes back from the seed"


def test_nola_stores_nothing_random(tmp_path):
    from safetensors.torch import load_file

    handle = attach(LLAMA.make(), methods.nola(3, bases=6))
    tensors = load_file(save(handle, tmp_path) / "adapter_model.safetensors")
    assert sum(t.numel() for t in tensors.values()) == 12 * len(handle.layers)


def test_vb_lora_layers_share_one_bank_and_two_vectors_make_a_piece():
    handle = attach(LLAMA.make(), methods.vb_lora(3, vectors=6, length=4))
    banks = {id(slot.factors["bank"]) for slot in handle.slots.values()}
    assert len(banks) == 1
    slot = handle.slots[UP]
    assert slot.factors["logits_A"].shape == (3, 16 // 4, 6)
    assert slot.factors["logits_B"].shape == (24 // 4, 3, 6)
    assert 0 < handle.shared["bank"].abs().max() <= 0.02
    logits = slot.factors["logits_A"]
    with torch.no_grad():
        logits[0, 0] = torch.tensor([9.0, 0.0, 9.0, 0.0, 0.0, 0.0])
    A, _ = slot.parametrization.pair(slot.factors)
    close(A[0, :4], slot.factors["bank"][[0, 2]].mean(0))


# 9.3


def test_melora_has_loras_count_and_a_rank_of_all_blocks_and_one_block_is_lora():
    few, whole = attach(LLAMA.make(), methods.melora(2, 4, count=4)), attach(LLAMA.make(), methods.lora(2))
    count = [sum(p.numel() for p in handle.trainable().values()) for handle in (few, whole)]
    assert count[0] == count[1]
    move(few)
    assert torch.linalg.matrix_rank(few.delta(UP)) == 8
    model, plain = LLAMA.make(), LLAMA.make()
    one, lora = attach(model, methods.melora(2, 4, count=1)), attach(plain, methods.lora(2, 4))
    move(one)
    with torch.no_grad():
        for path, slot in lora.slots.items():
            for name in "AB":
                slot.factors[name].copy_(one.slots[path].factors[name])
    close(run(model, LLAMA), run(plain, LLAMA))


# 15


def test_products_have_the_ranks_they_claim():
    model = LLAMA.make()
    loha, lokr = attach(model, methods.loha(3), name="a"), attach(model, methods.lokr(1), name="b")
    move(loha)
    move(lokr)
    assert torch.linalg.matrix_rank(loha.delta(UP)) == 9
    C, A, B = (lokr.slots[UP].factors[n] for n in "CAB")
    rank = torch.linalg.matrix_rank(C) * torch.linalg.matrix_rank(B @ A)
    assert torch.linalg.matrix_rank(lokr.delta(UP)) == rank == 4


def test_kronecker_parts_are_those_of_peft(peft):
    from peft.tuners.lokr.layer import factorization

    for size in (1, 7, 12, 127, 128, 192, 576, 1536):
        for factor in (-1, 2, 4, 5):
            assert divisors(size, factor) == factorization(size, factor), (size, factor)


def test_rotations_are_orthogonal_and_keep_singular_values():
    S = torch.randn(3, 28, dtype=torch.float64)
    R = cayley_minus_identity(skew(S, 8)) + torch.eye(8, dtype=torch.float64)
    close(R @ R.mT, torch.eye(8, dtype=torch.float64).expand(3, 8, 8))
    for adapter in (methods.oft(block=4), methods.hra(4), methods.spectral_adapter(4, form="rotational")):
        handle = attach(LLAMA.make(), adapter)
        move(handle)
        W0 = handle.layers[UP].weight.detach()
        close(torch.linalg.svdvals(W0 + handle.delta(UP)), torch.linalg.svdvals(W0))


def test_boft_joins_inputs_that_one_factor_keeps_apart():
    def joined(factors):
        handle = attach(LLAMA.make(), methods.boft(block=2, factors=factors))
        move(handle)
        slot = handle.slots[UP]
        turned = slot.parametrization.turned(torch.eye(16, dtype=torch.float64), slot.factors)
        R = turned + torch.eye(16, dtype=torch.float64)
        close(R @ R.T, torch.eye(16, dtype=torch.float64))
        return (R.abs() > 1e-12).sum(0)

    assert joined(1).tolist() == [2] * 16
    assert joined(2).tolist() == [4] * 16
    assert joined(3).tolist() == [8] * 16


def test_thin_forms_are_plain_lora_of_their_rank():
    for adapter in (methods.hra(4), methods.miss(3), methods.melora(2), methods.spectral_adapter(3)):
        handle = attach(LLAMA.make(), adapter)
        move(handle)
        for path, slot in handle.slots.items():
            A, B = slot.plain()
            close(B @ A, handle.delta(path))
            assert len(A) == {"householder": 4, "shards": 3, "blocks": 4, "spectral": 6}[adapter.parametrization.name]


def test_hra_refuses_an_odd_rank():
    with pytest.raises(UsageError, match="'householder' needs an even rank, found 3"):
        attach(LLAMA.make(), methods.hra(3))


def test_fourierft_is_real_and_linear_in_its_coefficients():
    handle = attach(LLAMA.make(), methods.fourierft(frequencies=60))
    slot = handle.slots[UP]
    one, two = (torch.randn(60, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in range(2))

    def delta(c):
        with torch.no_grad():
            slot.factors["c"].copy_(c)
        return handle.delta(UP)

    assert not delta(one).is_complex()
    close(delta(one) + 2 * delta(two), delta(one + 2 * two))


def test_sam_parser_and_svdiff_factor_w0_and_a_large_shift_stops_at_zero():
    for adapter in (methods.sam_parser(), methods.svdiff()):
        slot = attach(LLAMA.make(), adapter).slots[UP]
        f = slot.factors
        close(f["U"] @ f["S"].diag() @ f["V"], slot.W0)
        assert slot.trained.keys() == {"t"}
    handle = attach(LLAMA.make(), methods.svdiff())
    slot = handle.slots[UP]
    with torch.no_grad():
        slot.factors["t"].fill_(-1e6)
    close(slot.W0 + handle.delta(UP), torch.zeros_like(slot.W0))


def test_the_additive_spectral_adapter_moves_the_chosen_block_of_singular_vectors():
    handle = attach(LLAMA.make(), methods.spectral_adapter(3, first=2))
    slot = handle.slots[UP]
    U, S, V = torch.linalg.svd(slot.W0, full_matrices=False)
    close(slot.factors["S"], S[2:5])
    close(slot.factors["U"] * slot.factors["S"] @ slot.factors["V"], U[:, 2:5] * S[2:5] @ V[2:5])
    with pytest.raises(UsageError, match=r"rank is 7 and .*k_proj is 8 x 16; use rank <= 6"):
        attach(LLAMA.make(), methods.spectral_adapter(7, first=2))


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (
            methods.oft(block=5),
            r"'orthogonal-blocks' needs block to divide d_in, but block is 5 and .*q_proj has d_in 16",
        ),
        (methods.boft(block=4, factors=4), r"needs block x 2\^\(factors - 1\) to divide d_in, .* is 32"),
        (methods.vb_lora(length=5), "needs length to divide d_in"),
        (methods.melora(count=3), "needs count to divide d_in"),
        (methods.fourierft(frequencies=1000), "1000 frequencies needs as many weights, but .* is 16 x 16"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.parametrization.name,
)
def test_layers_that_a_form_cannot_cut_are_named(adapter, message):
    with pytest.raises(UsageError, match=message):
        attach(LLAMA.make(), adapter)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PseudoSingular("soft"), "values of 'pseudo-singular' must be"),
        (lambda: methods.tied_lora(trains="uA"), "must hold letters of 'vBuA' once each, v or B among them"),
        (lambda: methods.vb_lora(vectors=1), r"topk of 'vector-bank' must be at most vectors \(1\), found 2"),
        (lambda: methods.lokr(factor=0), "factor of 'kronecker' must be -1 or a whole number"),
        (lambda: methods.boft(block=3, factors=2), "block of 'butterfly' must be even for more than one factor"),
        (lambda: methods.nola(bases=0), "bases of 'random-basis' must be a whole number of at least 1, found 0"),
        (lambda: methods.svdiff(scale=0), "scale of 'spectrum' must be a positive number"),
        (lambda: methods.spectral_adapter(form="x"), "form of 'spectral' must be"),
        (lambda: methods.spectral_adapter(first=-1), "first of 'spectral' must be a whole number"),
        (lambda: methods.fourierft(scale=-1), "scale of 'fourier' must be a positive number"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize(
    "adapter",
    [methods.nola(3), methods.tied_lora(3), methods.melora(2), methods.loha(2), methods.lokr(2), methods.miss(3)],
    ids=lambda adapter: adapter.parametrization.name,
)
def test_ids_are_looked_up_in_the_factors(adapter):
    from dataclasses import replace

    from rankwise.adapters.placements import Suffixes

    model = LLAMA.make()
    handle = attach(model, replace(adapter, placement=Suffixes(("embed_tokens",))))
    move(handle)
    adapted = run(model, LLAMA)
    handle.merge()
    close(run(model, LLAMA), adapted)


def test_convolutions_carry_them_too():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 9, dtype=torch.float64)
    for adapter in (methods.loha(2, placement="regex:0"), methods.oft("regex:0", block=4), methods.ssb("regex:0")):
        model = nn.Sequential(nn.Conv1d(4, 6, 3, padding=1), nn.Tanh()).double().eval()
        before = model(x).detach()
        handle = attach(model, adapter)
        assert torch.equal(model(x), before)
        move(handle)
        adapted = model(x).detach()
        handle.merge()
        close(model(x).detach(), adapted)


def test_gpt2_carries_a_rotation():
    model = GPT2.make()
    move(attach(model, methods.hra(2)))
    assert torch.isfinite(run(model, GPT2)).all()
