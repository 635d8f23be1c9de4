"""Inits that look at data: what the papers say, PEFT's own results, and streaming."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rankwise.adapters import attach, load, save
from rankwise.adapters.calibration import collect
from rankwise.adapters.inits import EVA, CorDA, LoRAGA
from rankwise.errors import UsageError
from rankwise.methods import corda, eva, lora, lora_ga

from ..contract.models import GPT2, LLAMA
from ..contract.tools import batches, close, move, run


def _ids(count=4, seed=0):
    stream = torch.Generator().manual_seed(seed)
    return [{"input_ids": (ids := torch.randint(32, (2, 9), generator=stream)), "labels": ids} for _ in range(count)]


def _inputs(model, path, data):
    """All inputs of one layer, kept whole: what streaming must add up to."""
    seen = []
    hook = model.get_submodule(path).register_forward_pre_hook(lambda m, x: seen.append(x[0].detach().flatten(0, -2)))
    for batch in data:
        model(**batch)
    hook.remove()
    return seen


PATH = "model.layers.1.mlp.down_proj"


def test_streamed_moments_are_those_of_all_inputs_and_the_model_is_left_as_it_was():
    model, data = LLAMA.make(), _ids()
    model.train()
    model.lm_head.requires_grad_(False)
    flags = [p.requires_grad for p in model.parameters()]
    found = collect(model, {PATH: model.get_submodule(PATH)}, data, "inputs")[PATH]
    rows = torch.cat(_inputs(model, PATH, data))
    assert found.count == len(rows) == 4 * 18
    close(found.second_moment(), rows.T @ rows)
    close(found.covariance(), torch.cov(rows.T, correction=0))
    assert all(m.training for m in model.modules())
    assert [p.requires_grad for p in model.parameters()] == flags
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_layers_that_read_one_tensor_share_its_moment_with_the_bits_of_their_own():
    """EVA (arXiv 2410.07170): query, key and value see the same input, and so do gate and up."""
    model, data = LLAMA.make(), _ids()
    modules = {path: model.get_submodule(path) for path in LLAMA.shapes}
    found = collect(model, modules, data, "inputs")
    held = {id(one.moment): one.moment for one in found.values()}
    layers = {path.rpartition(".")[0].rpartition(".")[0] for path in modules if ".layers." in path}
    assert len(held) == 4 * len(layers) + sum(".layers." not in path for path in modules)
    narrow, wide = (modules[f"model.layers.1.mlp.{name}_proj"].in_features for name in ("up", "down"))
    assert sum(moment.nbytes for moment in held.values()) <= 8 * len(layers) * (4 * max(narrow, wide) ** 2)
    assert found["model.layers.0.self_attn.q_proj"] is found["model.layers.0.self_attn.v_proj"]
    for path, module in modules.items():
        alone = collect(model, {path: module}, data, "inputs")[path]
        assert alone.count == found[path].count
        assert torch.equal(alone.total, found[path].total)
        assert torch.equal(alone.moment, found[path].moment)


class Fork(nn.Module):
    """Two layers that read the same tensor in some batches, each a part of it or one alone in others."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(4, 3) for _ in "abc")

    def forward(self, x):
        kind = int(x[0, 0])
        if kind == 1:  # different tensors
            return self.a(x[:2]) + self.b(x[2:4])
        if kind == 2:  # one of them does not run
            return self.b(x)
        if kind == 3:  # the same tensor, changed between
            first = self.a(x)
            x.add_(1)
            return first + self.b(x)
        if kind == 4:  # twice
            return self.a(x) + self.b(x) + self.a(x) + self.c(x)
        return self.a(x) + self.b(x) + self.c(x)


@pytest.mark.parametrize("kinds", [(0, 1, 0), (0, 2, 0), (0, 3), (0, 4, 4), (2, 0, 1), (4, 0), (0, 0, 0)], ids=str)
def test_layers_whose_inputs_part_have_the_moments_they_have_alone(kinds):
    def data():
        stream = torch.Generator().manual_seed(3)
        for kind in kinds:
            x = torch.randn(5, 4, generator=stream)
            x[0, 0] = kind
            yield x

    model = Fork()
    modules = {"a": model.a, "b": model.b}
    together = collect(model, modules, data(), "inputs")
    for path, module in modules.items():
        alone = collect(model, {path: module}, data(), "inputs")[path]
        assert alone.count == together[path].count
        assert torch.equal(alone.total, together[path].total)
        assert torch.equal(alone.moment, together[path].moment)
    assert (together["a"] is together["b"]) == (kinds == (0, 0, 0))


def test_gradients_are_those_of_backward_and_no_grad_is_left():
    for tiny, path in ((LLAMA, PATH), (GPT2, "transformer.h.0.attn.c_attn")):
        model, data = tiny.make(), _ids(3)
        module = model.get_submodule(path)
        found = collect(model, {path: module}, data, "gradients")[path].mean_gradient()
        assert all(p.grad is None for p in model.parameters())
        for batch in data:
            (model(**batch).loss / 3).backward()
        grad = module.weight.grad if isinstance(module, nn.Linear) else module.weight.grad.T
        torch.testing.assert_close(found, grad, rtol=1e-4, atol=1e-7)  # the model's own loss is float32


def test_padding_is_left_out():
    model = LLAMA.make()
    ids = torch.randint(32, (2, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    padded = collect(model, {PATH: model.get_submodule(PATH)}, [{"input_ids": ids, "attention_mask": mask}], "inputs")
    apart = collect(
        model, {PATH: model.get_submodule(PATH)}, [{"input_ids": ids[:1]}, {"input_ids": ids[1:, :5]}], "inputs"
    )
    assert padded[PATH].count == 14
    close(padded[PATH].second_moment(), apart[PATH].second_moment())


@pytest.mark.parametrize("adapter", [corda(3), eva(3), lora_ga(3)], ids=lambda a: a.init.name)
def test_the_same_batches_give_the_same_bits(adapter):
    one, two = (attach(LLAMA.make(), adapter, data=iter(_ids())).trainable() for _ in range(2))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("adapter", [corda(3), eva(3), lora_ga(3)], ids=lambda a: a.init.name)
def test_data_is_asked_for_and_never_ignored(adapter):
    model = LLAMA.make()
    with pytest.raises(
        UsageError, match=rf"init '{adapter.init.name}' needs data; pass attach\(\.\.\., data=batches\)"
    ):
        attach(model, adapter)
    with pytest.raises(UsageError, match="data holds no batch"):
        attach(model, adapter, data=[])
    with pytest.raises(UsageError, match="init 'kaiming' does not look at data; leave data out"):
        attach(model, lora(2), data=_ids())
    assert not any("adapters" in key for key in model.state_dict())


def test_gradients_need_a_loss():
    with pytest.raises(UsageError, match="needs a loss: give batches with labels"):
        attach(LLAMA.make(), lora_ga(3), data=[{"input_ids": torch.zeros(1, 4, dtype=torch.long)}])


@pytest.mark.parametrize("mode", ["ipm", "kpm"])
def test_corda_reconstructs_w0_exactly_and_takes_the_end_it_says(mode):
    """CorDA (arXiv 2406.05223): with all components s B0 A0 = W0; with some, those that the data use most, or least."""
    model, data = LLAMA.make(), _ids()
    module = model.get_submodule(PATH)
    found = collect(model, {PATH: module}, data, "inputs", normalizes=True)[PATH]
    W0 = module.weight.detach()
    whole = CorDA(mode).start_from(found, W0, 16, 2.0, torch.Generator())
    torch.testing.assert_close(2.0 * whole["B"] @ whole["A"], W0, rtol=0, atol=1e-9)
    rows = torch.cat(_inputs(model, PATH, data))
    lost = {}
    for which in ("ipm", "kpm"):
        start = CorDA(which).start_from(found, W0, 4, 2.0, torch.Generator())
        lost[which] = (rows @ (2.0 * start["B"] @ start["A"]).T).norm()
    assert lost["kpm"] < 0.2 * lost["ipm"], "what is trained away matters little to the data"


@pytest.mark.parametrize("mode", ["ipm", "kpm"])
def test_corda_is_the_published_decomposition_and_pefts_of_the_same_moments(mode, tmp_path):
    """A float64 oracle of CorDA, section 3, and PEFT given our C: its own differs (see below)."""
    peft = pytest.importorskip("peft")
    from peft.tuners.lora.corda import preprocess_corda

    data, module = _ids(), LLAMA.make().get_submodule(PATH)
    rows = _inputs(LLAMA.make(), PATH, data)
    C = sum((x / x.abs().max()).T @ (x / x.abs().max()) for x in rows) / sum(map(len, rows))
    damped = C + 0.01 * C.diagonal().mean() * torch.eye(len(C), dtype=C.dtype)
    U, S, Vh = torch.linalg.svd(module.weight.detach() @ damped, full_matrices=False)
    k = slice(0, 4) if mode == "ipm" else slice(-4, None)
    product = U[:, k] * S[k] @ torch.linalg.solve(damped, Vh[k].T).T  # solved, not inverted
    slot = attach(LLAMA.make(), corda(4, 8, "down_proj,", mode=mode), data=data).slots[PATH]
    close(slot.scaling * slot.start["B"] @ slot.start["A"], product)
    for mine in (slot.start["B"].norm(dim=0), ((slot.start["A"] @ damped).norm(dim=1))):
        expected = (S[k] / slot.scaling).sqrt()  # U and V are orthonormal: A0 and B0 share the values evenly
        close(mine, expected)

    theirs = LLAMA.make(torch.float32)
    moments = {name: C.float() for name, m in theirs.named_modules() if name.endswith("down_proj")}
    torch.save(moments, tmp_path / "C.pt")
    options = peft.tuners.lora.config.CordaConfig(corda_method=mode, covariance_file=str(tmp_path / "C.pt"))
    config = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=["down_proj"], init_lora_weights="corda", corda_config=options
    )
    preprocess_corda(theirs, config)
    layer = peft.get_peft_model(theirs, config).base_model.model.get_submodule(PATH)
    found = layer.scaling["default"] * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    torch.testing.assert_close(found.double(), product, rtol=0, atol=1e-4 * float(product.abs().max()))


def test_corda_sees_pefts_moments_where_the_largest_input_is_positive():
    """PEFT divides a batch by |max(x)|, we by max(|x|), as the paper's description of its code: not always the same."""
    peft = pytest.importorskip("peft")
    from peft.tuners.lora.corda import calib_cov_distribution

    for positive in (True, False):
        data = []
        for batch in _ids(40):
            (x,) = _inputs(LLAMA.make(), PATH, [one := {"input_ids": batch["input_ids"][:1]}])
            if bool(x.max() == x.abs().max()) is positive:
                data.append(one)
        assert len(data) >= 3
        theirs, ours = LLAMA.make(torch.float32), LLAMA.make()
        options = peft.tuners.lora.config.CordaConfig(corda_method="ipm")
        config = peft.LoraConfig(target_modules=[PATH], init_lora_weights="corda", corda_config=options)
        calib_cov_distribution(theirs, config, lambda m=theirs, data=data: [m(**b) for b in data], None, None)
        found = collect(ours, {PATH: ours.get_submodule(PATH)}, data, "inputs", normalizes=True)[PATH]
        mine = found.second_moment() / len(data)  # the mean over samples, as theirs
        gap = (theirs.get_submodule(PATH).covariance_matrix.double() - mine).norm() / mine.norm()
        assert gap < 1e-5 if positive else gap > 0.01


def test_eva_starts_at_the_principal_components():
    model, data = LLAMA.make(), _ids()
    handle = attach(model, eva(4, rho=1), data=data)
    rows = torch.cat(_inputs(LLAMA.make(), PATH, data))
    _, _, Vh = torch.linalg.svd(rows - rows.mean(0))
    A = handle.slots[PATH].factors["A"].detach()
    close((A * Vh[:4]).sum(1).abs(), torch.ones(4, dtype=torch.float64))
    close(A @ A.T, torch.eye(4, dtype=torch.float64))
    assert {m.rank for m in handle.matched} == {4}, "rho = 1: uniform ranks"


def test_eva_components_agree_with_pefts_incremental_pca():
    pytest.importorskip("peft")
    from peft.utils.incremental_pca import IncrementalPCA

    model, data = LLAMA.make(), _ids(6)
    handle = attach(model, eva(3, rho=1), data=data)
    theirs = IncrementalPCA(n_components=12)
    for rows in _inputs(LLAMA.make(), PATH, data):
        theirs.partial_fit(rows)
    overlap = (handle.slots[PATH].factors["A"].detach() * theirs.components_[:3]).sum(1)
    assert (overlap > 0.99).all(), "the same directions, and the same signs"


@pytest.mark.filterwarnings("ignore")
def test_eva_gives_the_ranks_and_the_starts_that_peft_gives():
    peft = pytest.importorskip("peft")
    data = _ids(1) * 3  # one batch again and again: their incremental components are then those of all inputs
    targets = ["q_proj", "o_proj", "gate_proj", "down_proj"]  # of layers with equal inputs PEFT's order is its own
    torch.manual_seed(0)
    config = peft.LoraConfig(
        r=3,
        target_modules=targets,
        init_lora_weights="eva",
        eva_config=peft.EvaConfig(rho=2.0, use_label_mask=False),
    )
    wrapped = peft.get_peft_model(LLAMA.make(), config)
    peft.initialize_lora_eva_weights(wrapped, data, show_progress_bar=False)
    handle = attach(LLAMA.make(), eva(3, rho=2.0, placement=",".join(targets)), data=data)
    theirs = {}
    for path, module in LLAMA.make().named_modules():
        if path.endswith(tuple(targets)):
            layer = wrapped.base_model.model.get_submodule(path)
            if "default" in getattr(layer, "lora_A", {}):
                theirs[path] = layer.lora_A["default"].weight.detach().double()
    assert {path: len(A) for path, A in theirs.items()} == {m.module: m.rank for m in handle.matched}
    for path, A in theirs.items():
        overlap = (handle.slots[path].factors["A"].detach() * A).sum(1)
        assert (overlap.abs() > 0.99).all(), path


def test_eva_shares_out_the_whole_budget_and_no_layer_gets_more_than_rho():
    handle = attach(LLAMA.make(), eva(4, alpha=8, rho=2.0), data=_ids())
    ranks = {m.module: m.rank for m in handle.matched}
    assert sum(ranks.values()) == 4 * 14
    assert max(ranks.values()) <= 8
    assert len(set(ranks.values())) > 1
    assert {m.scaling for m in handle.matched} == {2.0}, "the scale does not follow the rank"


def test_eva_whitens():
    plain, white = (attach(LLAMA.make(), eva(3, rho=1, whiten=w), data=_ids()).slots[PATH] for w in (False, True))
    A, scaled = plain.factors["A"].detach(), white.factors["A"].detach()
    close(scaled / scaled.norm(dim=1, keepdim=True), A)
    assert (scaled.norm(dim=1).diff() > 0).all(), "the smaller the variance, the longer"


def test_an_adapter_with_ranks_of_its_own_comes_back(tmp_path):
    model, fresh = LLAMA.make(), LLAMA.make()
    handle = attach(model, eva(4), data=_ids())
    move(handle)
    loaded = load(fresh, save(handle, tmp_path))
    assert loaded.matched == handle.matched
    assert torch.equal(run(fresh, LLAMA), run(model, LLAMA))
    peft = pytest.importorskip("peft")
    close(run(peft.PeftModel.from_pretrained(LLAMA.make(), tmp_path).eval(), LLAMA), run(model, LLAMA))


@pytest.mark.parametrize("adapter", [corda(3), eva(3), lora_ga(3)], ids=lambda a: a.init.name)
def test_in_the_engine_a_start_from_data_looks_at_the_base_whoever_else_is_attached(adapter):
    from rankwise.engine import Forward
    from rankwise.engine.trainees import AdapterTrainee

    alone, model = LLAMA.make(), LLAMA.make()
    move(attach(model, lora(4), name="other"))
    trainees = [AdapterTrainee(m, Forward(m), adapter, 0, data=_ids()) for m in (alone, model)]
    one, two = (trainee.parameters for trainee in trainees)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("direction", ["ArB2r", "A2rBr", "ArBr"])
def test_lora_ga_agrees_with_peft(direction):
    peft = pytest.importorskip("peft")
    from peft.tuners.lora.config import LoraGAConfig
    from peft.tuners.lora.loraga import preprocess_loraga

    data = _ids(2)
    theirs, ours = LLAMA.make(torch.float32), LLAMA.make(torch.float32)
    config = peft.LoraConfig(
        r=3,
        lora_alpha=6,
        target_modules=["down_proj"],
        init_lora_weights="lora_ga",
        lora_ga_config=LoraGAConfig(direction=direction, scale="stable", stable_gamma=16),
    )

    def step():
        for batch in data:
            theirs(**batch).loss.backward()  # preprocess_loraga takes the mean over calls

    preprocess_loraga(theirs, config, step)
    wrapped = peft.get_peft_model(theirs, config)
    adapter = lora_ga(3, 6, "down_proj,", direction=direction, singular_values=True)
    handle = attach(ours, adapter, data=data)
    for path in handle.layers:
        layer = wrapped.base_model.model.get_submodule(path)
        slot = handle.slots[path]
        for name in "AB":  # every singular pair has one sign to choose, and A's and B's are of different pairs
            found = layer.get_submodule(f"lora_{name}.default").weight.detach().abs()
            torch.testing.assert_close(slot.start[name].abs(), found, rtol=1e-3, atol=1e-4)


def test_lora_gas_first_step_follows_the_gradient():
    """Algorithm 1: with ArB2r, the first step of B A spans the 2r leading singular directions of G."""
    model, data = LLAMA.make(), _ids(1)
    G = collect(model, {PATH: model.get_submodule(PATH)}, data, "gradients")[PATH].mean_gradient()
    handle = attach(model, lora_ga(3, 3), data=data)
    model(**data[0]).loss.backward()
    slot = handle.slots[PATH]
    A, B = slot.factors["A"], slot.factors["B"]
    step = B.grad @ A.detach() + B.detach() @ A.grad  # to first order
    U, _, Vh = torch.linalg.svd(G)
    mine = step.detach()
    close(U[:, :6] @ U[:, :6].T @ mine @ Vh[:6].T @ Vh[:6], mine)
    assert torch.linalg.matrix_rank(mine, rtol=1e-9) == 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CorDA("both"), "mode of init 'corda' must be 'ipm' or 'kpm', found 'both'"),
        (lambda: EVA(0.5), r"rho of init 'eva' must be a number of at least 1, found 0\.5"),
        (lambda: LoRAGA("up"), "direction of init 'lora-ga' must be one of ArB2r"),
        (lambda: LoRAGA(gamma=0), "gamma of init 'lora-ga' must be a positive number, found 0"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_lora_ga_needs_two_sets_of_vectors():
    model = LLAMA.make()
    with pytest.raises(UsageError, match=r"rank is 5 and model\.layers\.0\.self_attn\.k_proj is 8 x 16; use rank <= 4"):
        attach(model, lora_ga(5), data=batches(model))
