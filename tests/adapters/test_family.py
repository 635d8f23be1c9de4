"""Each method's own claims, and PEFT's implementation with the same weights where PEFT has it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rankwise.adapters import Adapter, attach, load, save
from rankwise.adapters.inits import MiLoRA, PiSSA
from rankwise.adapters.placements import Biases
from rankwise.errors import UsageError
from rankwise.methods import adalora, bitfit, ia3, lora, lora_fa, lora_xs, milora, placement, vera

from ..contract.models import GPT2, LLAMA, SEQUENTIAL
from ..contract.tools import as_stored, close, loss, move, run, train

models = pytest.mark.parametrize("tiny", [LLAMA, GPT2], ids=["llama", "gpt2"])
ALL = {"llama": "all-linear", "gpt2": ["c_attn", "c_proj", "c_fc"]}


@pytest.fixture(scope="module")
def peft():
    return pytest.importorskip("peft")


def _wrapped(peft, tiny, config):
    torch.manual_seed(0)
    return peft.get_peft_model(tiny.make(), config).double().eval()


def _layers(wrapped, handle):
    return {path: wrapped.base_model.model.get_submodule(path) for path in handle.layers}


# AdaLoRA 7.1


@models
@pytest.mark.filterwarnings("ignore")
def test_adalora_agrees_with_peft(peft, tiny):
    config = peft.AdaLoraConfig(init_r=4, target_r=2, lora_alpha=8, total_step=10, target_modules=ALL[tiny.name])
    wrapped, model = _wrapped(peft, tiny, config), tiny.make()
    handle = attach(model, adalora(4, alpha=8))
    move(handle)
    with torch.no_grad():
        for path, layer in _layers(wrapped, handle).items():
            A, B, e = (handle.slots[path].factors[name] for name in "ABe")
            layer.lora_A["default"].copy_(A)
            layer.lora_B["default"].copy_(B)
            layer.lora_E["default"].copy_(e[:, None])
            layer.ranknum["default"].fill_(4)
    close(run(wrapped, tiny), run(model, tiny))


def test_adalora_starts_normal_and_at_zero_and_e_may_become_negative():
    handle = attach(LLAMA.make(), adalora(12))
    factors = torch.cat([p.detach().flatten() for name, p in handle.trainable().items() if name[-1] in "AB"])
    assert factors.std() == pytest.approx(0.02, rel=0.05)
    slot = handle.slots["model.layers.0.mlp.up_proj"]
    assert not slot.factors["e"].any()
    with torch.no_grad():
        slot.factors["e"][:5] = torch.tensor([1.0, -2.0, 3.0, -4.0, 5.0])
    assert torch.linalg.matrix_rank(handle.delta("model.layers.0.mlp.up_proj")) == 5, "rank = number of e not zero"


# VeRA 7.8


@models
@pytest.mark.filterwarnings("ignore")
def test_vera_agrees_with_peft(peft, tiny):
    config = peft.VeraConfig(r=5, target_modules=ALL[tiny.name], projection_prng_key=1)
    try:
        wrapped = _wrapped(peft, tiny, config)
    except ValueError:  # PEFT takes one size of layer only where it must
        pytest.skip("PEFT refuses layers of these sizes")
    model = tiny.make()
    handle = attach(model, vera(5))
    move(handle)
    with torch.no_grad():
        for path, layer in _layers(wrapped, handle).items():
            layer.vera_A["default"].copy_(handle.shared["A"])
            layer.vera_B["default"].copy_(handle.shared["B"])
            layer.vera_lambda_b["default"].copy_(handle.slots[path].factors["b"])
            layer.vera_lambda_d["default"].copy_(handle.slots[path].factors["d"])
    close(run(wrapped, tiny), run(model, tiny))


def test_vera_has_one_pair_for_all_layers_drawn_from_the_seed():
    one, again, other = (attach(LLAMA.make(), vera(4), seed=seed) for seed in (0, 0, 1))
    assert {tuple(t.shape) for t in one.shared.values()} == {(4, 24), (24, 4)}
    assert all(torch.equal(one.shared[n], again.shared[n]) for n in "AB")
    assert not torch.equal(one.shared["A"], other.shared["A"])
    places = {slot.factors["A"].untyped_storage().data_ptr() for slot in one.slots.values()}
    assert places == {one.shared["A"].untyped_storage().data_ptr()}, "slices share storage"
    bound = (6 / 24) ** 0.5
    assert 0.9 * bound < one.shared["A"].abs().max() <= bound, "Kaiming-uniform with gain sqrt(2)"
    assert not any(p.requires_grad for p in one.shared.values())
    assert sum(m.trainable for m in one.matched) == sum(4 + m.d_out for m in one.matched)


def test_two_veras_on_one_model_keep_their_own_pairs_and_the_first_can_leave():
    model = LLAMA.make()
    one, two = attach(model, vera(4), name="one"), attach(model, vera(3), seed=1, name="two")
    move(one)
    move(two)
    alone = LLAMA.make()
    move(attach(alone, vera(3), seed=1))
    one.detach()
    assert torch.equal(run(model, LLAMA), run(alone, LLAMA))
    keys = [key for key in model.state_dict() if ".shared." in key]
    assert len(keys) == 2, "owned once"


def test_the_pair_is_saved_once_and_comes_from_the_file(tmp_path):
    from safetensors.torch import load_file

    model, fresh = LLAMA.make(), LLAMA.make()
    handle = attach(model, vera(4), seed=3)
    move(handle)
    folder = save(handle, tmp_path)
    keys = list(load_file(folder / "adapter_model.safetensors"))
    assert sorted(key for key in keys if key.startswith("*:")) == ["*:A", "*:B"]
    loaded = load(fresh, folder)
    assert torch.equal(run(fresh, LLAMA), run(model, LLAMA))
    assert all(torch.equal(loaded.shared[n], handle.shared[n]) for n in "AB")


# LoRA-XS 7.14, LoRA-FA 2.6


def test_lora_xs_starts_within_a_thousandth_and_trains_r_squared():
    model, fresh = LLAMA.make(), LLAMA.make()
    handle = attach(model, lora_xs(4, alpha=16))
    base, start = run(fresh, LLAMA), run(model, LLAMA)
    assert 0 < (start - base).norm() <= 1e-3 * base.norm()
    assert sum(p.numel() for p in handle.trainable().values()) == 16 * len(handle.layers)
    before = {path: slot.factors["A"].clone() for path, slot in handle.slots.items()}
    train(model, LLAMA, handle)
    assert all(torch.equal(slot.factors["A"], before[path]) for path, slot in handle.slots.items())


def test_lora_xs_forms_have_one_update_and_other_gradients():
    one, two = (attach(LLAMA.make(), lora_xs(4, form=form)) for form in ("code", "paper"))
    for path in LLAMA.shapes:
        A, B = one.slots[path].factors["A"], one.slots[path].factors["B"]
        close(B.T @ B, torch.eye(4, dtype=torch.float64))
        other = two.slots[path].factors
        close(other["A"] @ other["A"].T, torch.eye(4, dtype=torch.float64))
        close(B @ A, other["B"] @ other["A"])


def test_lora_fa_is_lora_whose_a_stays():
    model, plain = LLAMA.make(), LLAMA.make()
    frozen, free = attach(model, lora_fa(4, alpha=8)), attach(plain, lora(4, alpha=8))
    assert all(name.endswith(".B") for name in frozen.trainable())
    loss(model, LLAMA).backward()
    loss(plain, LLAMA).backward()
    for name, p in frozen.trainable().items():
        assert torch.equal(p.grad, free.trainable()[name].grad)
    before = {path: slot.factors["A"].clone() for path, slot in frozen.slots.items()}
    train(model, LLAMA, frozen)
    assert all(torch.equal(slot.factors["A"], before[path]) for path, slot in frozen.slots.items())


def test_lora_fa_is_plain_lora_to_peft(peft, tmp_path):
    model = LLAMA.make()
    handle = attach(model, lora_fa(4, alpha=8))
    move(handle)
    close(run(peft.PeftModel.from_pretrained(LLAMA.make(), save(handle, tmp_path)).eval(), LLAMA), run(model, LLAMA))


# MiLoRA 5.4


def test_milora_leaves_the_top_singular_values_and_max_is_pissa():
    W0 = LLAMA.make().get_submodule("model.layers.0.mlp.up_proj").weight.detach()
    S = torch.linalg.svdvals(W0)
    start = MiLoRA().start(W0, 4, 2.0, torch.Generator())
    close(torch.linalg.svdvals(W0 - 2.0 * start["B"] @ start["A"])[:12], S[:12])
    close(torch.linalg.svdvals(2.0 * start["B"] @ start["A"])[:4], S[-4:])
    ours, pissa = MiLoRA("max").start(W0, 4, 2.0, torch.Generator()), PiSSA().start(W0, 4, 2.0, torch.Generator())
    assert all(torch.equal(ours[n], pissa[n]) for n in "AB")
    for window in ("mid", "random"):
        start = MiLoRA(window).start(W0, 4, 2.0, torch.Generator().manual_seed(0))
        found = torch.linalg.svdvals(2.0 * start["B"] @ start["A"])[:4]
        assert ((found[:, None] - S).abs().amin(1) < 1e-10).all()


# (IA)3 and BitFit 15


@models
@pytest.mark.filterwarnings("ignore")
def test_ia3_agrees_with_peft(peft, tiny):
    wrapped, model = _wrapped(peft, tiny, peft.IA3Config(task_type="CAUSAL_LM")), tiny.make()
    handle = attach(model, ia3())
    move(handle)
    theirs = {n.removeprefix("base_model.model.") for n, m in wrapped.named_modules() if hasattr(m, "ia3_l")}
    assert theirs == set(handle.layers), "PEFT's own targets"
    with torch.no_grad():
        for path, layer in _layers(wrapped, handle).items():
            layer.ia3_l["default"].copy_(handle.slots[path].factors["l"].view_as(layer.ia3_l["default"]))
    close(run(wrapped, tiny), run(model, tiny))
    handle.merge()
    close(run(wrapped, tiny), run(model, tiny))


def test_ia3_trains_keys_values_and_feed_forward_vectors():
    handle = attach(LLAMA.make(), ia3())
    assert sum(m.trainable for m in handle.matched) == 2 * (8 + 8 + 24), "d_k + d_v + d_ff per block"


def test_bitfit_is_training_the_biases_themselves():
    model, plain = GPT2.make(), GPT2.make()
    handle = attach(model, bitfit())
    biases = {name: p for name, p in plain.named_parameters() if name.endswith(".bias")}
    assert {f"{path}.bias" for path in handle.layers} == set(biases), "normalizations' too"
    assert sum(m.trainable for m in handle.matched) == sum(p.numel() for p in biases.values())
    optimizers = [torch.optim.SGD(ps, lr=0.1) for ps in (handle.trainable().values(), biases.values())]
    for _ in range(3):
        for net, optimizer in zip((model, plain), optimizers, strict=True):
            optimizer.zero_grad()
            loss(net, GPT2).backward()
            optimizer.step()
    close(run(model, GPT2), run(plain, GPT2))
    handle.merge()
    for path in handle.layers:
        close(model.get_submodule(path).bias.detach(), biases[f"{path}.bias"].detach())
    handle.unmerge()
    handle.detach()
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), GPT2.make().parameters(), strict=True))


def test_bitfit_needs_biases():
    with pytest.raises(UsageError, match="placement 'biases' matches no linear module"):
        attach(LLAMA.make(), bitfit())


# Layers 2.1


def _conv(cls, **options):
    torch.manual_seed(0)
    return nn.Sequential(cls(3, 6, 3, **options), nn.Tanh()).double().eval()


@pytest.mark.parametrize(
    ("cls", "size", "options"),
    [
        (nn.Conv1d, (2, 3, 11), {"stride": 2, "padding": 1}),
        (nn.Conv2d, (2, 3, 9, 8), {"stride": (2, 1), "padding": (1, 2), "dilation": (2, 1)}),
        (nn.Conv2d, (2, 3, 9, 8), {"padding": "same", "padding_mode": "circular"}),
        (nn.Conv2d, (3, 9, 8), {"padding": 1}),
        (nn.Conv3d, (2, 3, 5, 6, 7), {"padding": 1, "stride": 2}),
    ],
)
@pytest.mark.parametrize("adapter", [lora(2), adalora(2), vera(3), milora(2), "dora", "ia3", "bitfit"], ids=str)
def test_convolutions_in_any_dimension(cls, size, options, adapter):
    named = {"dora": {"parametrization": "weight-decomposed"}, "ia3": ia3(side="out"), "bitfit": bitfit()}
    adapter = named.get(adapter, adapter)
    spec = adapter if isinstance(adapter, dict) else adapter.to_dict()
    adapter = Adapter.from_dict({**spec, "placement": {"name": "regex", "pattern": "0"}})
    model, x = _conv(cls, **options), torch.randn(size, dtype=torch.float64)
    before = model(x).detach()
    handle = attach(model, adapter)
    assert torch.equal(model(x), before)
    move(handle)
    adapted = model(x).detach()
    assert (adapted - before).abs().max() > 1e-3
    handle.merge()
    close(model(x).detach(), adapted)
    handle.unmerge()
    assert torch.equal(model(x), adapted)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("cls", "size", "options"),
    [
        (nn.Conv2d, (2, 3, 9, 8), {"stride": (2, 1), "padding": (1, 2)}),
        (nn.Conv3d, (2, 3, 5, 6, 7), {"padding": 1, "stride": 2}),
    ],
    ids=["2d", "3d"],
)
def test_convolutions_agree_with_peft(peft, cls, size, options):
    x = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    wrapped = peft.get_peft_model(_conv(cls, **options), peft.LoraConfig(r=2, lora_alpha=6, target_modules=["0"]))
    wrapped, model = wrapped.double().eval(), _conv(cls, **options)
    handle = attach(model, lora(2, 6, placement="regex:0"))
    move(handle)
    (slot,) = handle.slots.values()
    layer = wrapped.base_model.model[0]
    with torch.no_grad():
        for name, theirs in (("A", layer.lora_A["default"]), ("B", layer.lora_B["default"])):
            theirs.weight.copy_(slot.factors[name].view(theirs.weight.shape))
    assert (model(x) - _conv(cls, **options)(x)).abs().max() > 1e-3
    close(wrapped(x), model(x))


@pytest.mark.parametrize("method", [lora(3), adalora(3), vera(3), milora(3)], ids=lambda a: a.parametrization.name)
def test_embeddings_are_looked_up_in_the_factors(method):
    adapter = Adapter.from_dict({**method.to_dict(), "placement": {"name": "suffixes", "targets": ["embed_tokens"]}})
    model = LLAMA.make()
    before = run(model, LLAMA)
    handle = attach(model, adapter)
    assert [(m.d_in, m.d_out) for m in handle.matched] == [(32, 16)]
    assert torch.equal(run(model, LLAMA), before)
    move(handle)
    adapted = run(model, LLAMA)
    assert (adapted - before).abs().max() > 1e-3
    handle.merge()
    close(run(model, LLAMA), adapted)
    assert model.lm_head.weight is not model.model.embed_tokens.weight, "a tied head keeps the base's rows"
    handle.unmerge()
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_an_embedding_update_keeps_the_bases_dtype(tmp_path):
    model = LLAMA.make(torch.bfloat16)
    handle = attach(model, lora(3, placement=placement("embed_tokens,")))
    move(handle)
    assert model.model.embed_tokens(LLAMA.inputs).dtype == torch.bfloat16
    fresh = LLAMA.make(torch.bfloat16)
    load(fresh, save(handle, tmp_path))
    assert torch.equal(run(fresh, LLAMA), run(model, LLAMA))


def test_embedding_agrees_with_peft(peft):
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules=["embed_tokens"])
    wrapped, model = _wrapped(peft, LLAMA, config), LLAMA.make()
    handle = attach(model, lora(3, 6, placement="embed_tokens,"))
    move(handle)
    (slot,) = handle.slots.values()
    layer = wrapped.base_model.model.model.embed_tokens
    with torch.no_grad():
        layer.lora_embedding_A["default"].copy_(slot.factors["A"])
        layer.lora_embedding_B["default"].copy_(slot.factors["B"])
    close(run(wrapped, LLAMA), run(model, LLAMA))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parametrization": "weight-decomposed"}, "parametrization 'weight-decomposed' cannot be used on .*embedding"),
        ({"dropout": 0.1}, r"dropout 0\.1 cannot be used on .*, an embedding, whose input is token ids"),
    ],
)
def test_what_an_embedding_cannot_carry_is_refused(options, message):
    adapter = Adapter.from_dict({**options, "placement": {"name": "suffixes", "targets": ["embed_tokens"]}})
    with pytest.raises(UsageError, match=message):
        attach(LLAMA.make(), adapter)


def test_grouped_convolutions_and_scaled_tables_are_not_touched():
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.Embedding(5, 4, max_norm=1.0))
    with pytest.raises(UsageError, match="matches no linear module"):
        attach(model, lora(2, placement="regex:."))


# Combinations 1.4


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"parametrization": "diagonal"}, "could not move: the factor in the middle is zero and so is B"),
        ({"parametrization": "diagonal", "init": "pissa"}, "no update for init 'pissa' to subtract"),
        ({"parametrization": "vera"}, "starts itself, so init 'kaiming' would not act; use init 'own'"),
        ({"init": "own"}, "needs A and B, which init 'own' does not give"),
        ({"init": "normal"}, "would change the model before training starts"),
        (
            {"freezing": {"name": "only", "factors": ["A"]}},
            "leaves only A to train, but init 'kaiming' starts with B = 0",
        ),
        ({"freezing": {"name": "only", "factors": ["C"]}}, "unknown factor 'C'"),
        ({"freezing": "only"}, "needs at least one factor that trains"),
        ({"parametrization": "ia3", "init": "own", "rank": 1, "alpha": 1, "dropout": 0.1}, "has no place in"),
        ({"parametrization": "ia3", "init": "own"}, "has no rank and no scale; use rank 1, alpha 1, found rank 16"),
        (
            {"parametrization": "bias", "init": "own", "rank": 1, "alpha": 1, "storage": "nf4"},
            "parametrization 'bias' adds no factors beside W0; storage 'nf4' is for those",
        ),
    ],
)
def test_combinations_that_cannot_work_are_refused_with_the_reason(spec, message):
    with pytest.raises(UsageError, match=message):
        Adapter.from_dict(spec)


def test_new_axes_are_written_only_when_chosen():
    assert set(lora().to_dict()) == {
        *("rank", "alpha", "dropout", "parametrization", "init", "scaling", "placement", "optimizer")
    }
    assert lora_fa().to_dict()["freezing"] == {"name": "only", "factors": ("B",)}


def test_biases_leave_the_head_alone():
    names = Biases().select(SEQUENTIAL.make())
    assert list(names) == ["0", "3"]
    assert as_stored(names["0"], names["0"].weight).shape == (12, 8)
