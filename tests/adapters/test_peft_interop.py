"""Files in both directions: PEFT loads every row we save, and we load plain LoRA that PEFT saves.

PEFT is the independent judge here; it is imported when a test runs.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from rankwise.adapters import load, save
from rankwise.adapters.inits import INITS
from rankwise.adapters.optimizers import OPTIMIZERS
from rankwise.adapters.parametrizations import PARAMETRIZATIONS
from rankwise.adapters.peft_options import NO_MATTER, READ
from rankwise.adapters.placements import AllLinear
from rankwise.adapters.scalings import SCALINGS
from rankwise.errors import UsageError
from rankwise.methods import build, dora, lora, olora, pissa, placement

from ..contract.models import GPT2, LLAMA
from ..contract.table import ROWS
from ..contract.tools import attach, close, move, run

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT warns of tied heads and of options that we refuse

models = pytest.mark.parametrize("tiny", [LLAMA, GPT2], ids=["llama", "gpt2"])
every_peft_row = pytest.mark.parametrize("row", [r for r in ROWS if r.in_peft], ids=lambda row: row.name)


@pytest.fixture(scope="module")
def peft():
    return pytest.importorskip("peft")


def _in_peft(peft, folder, tiny, dtype=torch.float64):
    return peft.PeftModel.from_pretrained(tiny.make(dtype), folder).eval()


@models
@every_peft_row
def test_peft_computes_our_logits_in_float64(peft, row, tiny, tmp_path):
    model = tiny.make()
    base = run(model, tiny)
    handle = attach(model, row.adapter)
    move(handle)
    save(handle, tmp_path)
    ours = run(model, tiny)
    assert (ours - base).abs().max() > 1e-3
    theirs = _in_peft(peft, tmp_path, tiny)
    close(run(theirs, tiny), ours)
    config = theirs.peft_config["default"]
    assert config.r == row.export_rank
    assert config.use_dora == (row.magnitude is not None)
    scales = {m.scaling["default"] for m in theirs.modules() if hasattr(m, "lora_A")}
    assert len(scales) == 1
    assert scales.pop() == pytest.approx(row.scale, rel=1e-14), "the scale is unchanged by the doubled rank"


@models
@every_peft_row
def test_peft_computes_our_logits_in_float32(peft, row, tiny, tmp_path):
    model = tiny.make(torch.float32)
    handle = attach(model, row.adapter)
    move(handle, size=0.02)
    save(handle, tmp_path)
    ours, theirs = run(model, tiny), run(_in_peft(peft, tmp_path, tiny, torch.float32), tiny)
    assert (theirs - ours).norm() / ours.norm() < 1e-6


@models
@pytest.mark.parametrize("where", ["attention", "mlp", "regex:1.*(attn|mlp)", "regex:^lm_head$", "all-linear"])
@pytest.mark.parametrize("method", ["lora", "olora"])
def test_every_placement_reaches_peft_as_it_is(peft, method, where, tiny, tmp_path):
    """GPT-2's two c_proj have one suffix: attention alone must be written as full names."""
    model = tiny.make()
    handle = attach(model, build(method, rank=4, placement=where))
    move(handle)
    save(handle, tmp_path)
    theirs = _in_peft(peft, tmp_path, tiny)
    adapted = {name.removeprefix("base_model.model.") for name, m in theirs.named_modules() if hasattr(m, "lora_A")}
    assert adapted == set(handle.layers)
    close(run(theirs, tiny), run(model, tiny))


def test_target_modules_are_suffixes_where_they_can_be(tmp_path):
    def targets(tiny, where):
        save(attach(tiny.make(), lora(2, placement=where)), tmp_path)
        return json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"]

    assert targets(LLAMA, "attention") == ["k_proj", "o_proj", "q_proj", "v_proj"]
    assert targets(GPT2, "all-linear") == ["c_attn", "c_fc", "c_proj"]
    expected = "|".join(rf"transformer\.h\.{i}\.attn\.{n}" for i in (0, 1) for n in ("c_attn", "c_proj"))
    assert targets(GPT2, "attention") == expected


def test_four_keys_are_enough_for_peft(peft, tmp_path):
    model = LLAMA.make()
    handle = attach(model, lora(4, alpha=8))
    move(handle)
    save(handle, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    minimal = {key: config[key] for key in ("peft_type", "r", "lora_alpha", "target_modules")}
    (tmp_path / "adapter_config.json").write_text(json.dumps(minimal))
    close(run(_in_peft(peft, tmp_path, LLAMA), LLAMA), run(model, LLAMA))


def test_peft_drops_no_key_of_our_config(peft, tmp_path):
    save(attach(LLAMA.make(), olora(4)), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert set(config) <= set(peft.LoraConfig().to_dict())
    assert config["lora_alpha"] == 8
    assert isinstance(config["lora_alpha"], int)


def test_a_small_update_reaches_a_bfloat16_base_through_the_file(peft, tmp_path):
    """The form without cancellation is what PEFT gets: the bf16 factors still hold the update."""
    handle = attach(LLAMA.make(torch.bfloat16), pissa(4))
    move(handle, size=1e-3)
    save(handle, tmp_path)
    theirs = _in_peft(peft, tmp_path, LLAMA, torch.bfloat16)
    for path in LLAMA.shapes:
        layer = theirs.get_submodule(f"base_model.model.{path}")
        A, B = (layer.get_submodule(f"lora_{n}.default").weight.bfloat16().double() for n in "AB")
        exact = handle.delta(path).double()
        assert (layer.scaling["default"] * B @ A - exact).norm() / exact.norm() < 0.01


# PEFT -> us


def _peft_checkpoint(peft, tiny, folder, **options):
    torch.manual_seed(11)
    config = peft.LoraConfig(task_type="CAUSAL_LM", fan_in_fan_out=tiny is GPT2, **options)
    model = peft.get_peft_model(tiny.make(), config).eval()
    model.save_pretrained(folder)
    return model


@models
@pytest.mark.parametrize(
    "options",
    [
        {"r": 4, "lora_alpha": 12},
        {"r": 6, "lora_alpha": 12, "use_rslora": True},
        {"r": 40, "lora_alpha": 3, "lora_dropout": 0.1},
        {"r": 4, "lora_alpha": 12, "use_dora": True},
        {"r": 3, "lora_alpha": 6, "use_dora": True, "use_rslora": True, "lora_dropout": 0.1},
    ],
    ids=["lora", "rslora", "rank-above-d", "dora", "dora-rslora"],
)
@pytest.mark.parametrize("targets", ["list", "regex", "all-linear", "full names"])
def test_we_compute_the_logits_of_a_peft_checkpoint(peft, options, targets, tiny, tmp_path):
    names = {LLAMA.name: ["q_proj", "down_proj"], GPT2.name: ["c_attn", "c_proj"]}[tiny.name]
    target_modules = {
        "list": names,
        "regex": f".*1.*\\.({'|'.join(names)})",
        "all-linear": "all-linear",
        "full names": [name for name in tiny.shapes if name.endswith(names[0])][:1],
    }[targets]
    theirs = _peft_checkpoint(peft, tiny, tmp_path, init_lora_weights=False, target_modules=target_modules, **options)
    if options.get("use_dora"):  # its m starts at |V| of the random B A: the model would be the base
        with torch.no_grad():
            for name, p in theirs.named_parameters():
                if "magnitude" in name:
                    p.mul_(1 + 0.3 * torch.rand_like(p))
        theirs.save_pretrained(tmp_path)
    model = tiny.make()
    base = run(model, tiny)
    handle = load(model, tmp_path)
    adapted = {n.removeprefix("base_model.model."): m for n, m in theirs.named_modules() if hasattr(m, "lora_A")}
    assert set(handle.layers) == set(adapted)
    for path, slot in handle.slots.items():
        assert torch.equal(slot.factors["A"], adapted[path].lora_A["default"].weight)
        assert torch.equal(slot.factors["B"], adapted[path].lora_B["default"].weight)
        assert set(slot.factors) == ({"A", "B", "m"} if options.get("use_dora") else {"A", "B"})
        if options.get("use_dora"):
            assert torch.equal(slot.factors["m"], adapted[path].lora_magnitude_vector["default"].weight)
        assert slot.scaling == adapted[path].scaling["default"]
        assert slot.dropout == options.get("lora_dropout", 0.0)
    assert (run(theirs, tiny) - base).abs().max() > 1e-3, "B is random"
    close(run(model, tiny), run(theirs, tiny))


@models
@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_a_file_goes_there_and_back_unchanged(peft, dora, tiny, tmp_path):
    options = {"init_lora_weights": False, "target_modules": "all-linear", "use_dora": dora}
    _peft_checkpoint(peft, tiny, tmp_path / "theirs", r=4, **options)
    model = tiny.make()
    save(load(model, tmp_path / "theirs"), tmp_path / "ours")
    close(run(_in_peft(peft, tmp_path / "ours", tiny), tiny), run(model, tiny))
    one, two = (_parts(tmp_path / who / "adapter_model.safetensors") for who in ("theirs", "ours"))
    assert one == two  # all but the metadata, where ours states a digest


def _parts(path):
    """What a safetensors file says of its tensors, and their bytes."""
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    del header["__metadata__"]
    return header, raw[end:]


@pytest.mark.parametrize("init", ["pissa", "olora", "pissa_niter_4"])
def test_factors_that_need_a_base_edited_by_peft_are_refused(peft, init, tmp_path):
    """PEFT writes PiSSA and OLoRA factors for its residual base; added to the true base they are nonsense."""
    config = peft.LoraConfig(r=4, lora_alpha=4, target_modules=["q_proj"], init_lora_weights=init)
    peft.get_peft_model(LLAMA.make(torch.float32), config).save_pretrained(tmp_path)
    model = LLAMA.make(torch.float32)
    with pytest.raises(UsageError, match=f"init_lora_weights='{init}': its factors belong to a base that PEFT edited"):
        load(model, tmp_path)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("init", ["pissa", "olora"])
@pytest.mark.parametrize("rs", [False, True], ids=["", "rs"])
def test_the_same_factors_converted_by_peft_are_loaded(peft, init, rs, tmp_path):
    """PEFT's conversion writes plain LoRA of rank 2r, [B, -B0] and [A; A0], for the true base."""
    options = {"r": 4, "lora_alpha": 4, "use_rslora": rs, "target_modules": ["q_proj", "up_proj"]}
    theirs = peft.get_peft_model(LLAMA.make(torch.float32), peft.LoraConfig(init_lora_weights=init, **options))
    theirs.peft_config["default"].init_lora_weights = True  # or loading the start would edit the base again
    theirs.save_pretrained(tmp_path / "start")
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in theirs.named_parameters():
            if "lora_" in name:
                p.add_(0.05 * torch.randn(p.shape, generator=stream))
    expected = run(theirs.eval(), LLAMA)
    theirs.save_pretrained(tmp_path / "plain", path_initial_model_for_weight_conversion=str(tmp_path / "start"))
    model = LLAMA.make(torch.float32)
    handle = load(model, tmp_path / "plain")
    assert handle.adapter.rank == 8
    torch.testing.assert_close(run(model, LLAMA), expected, rtol=1e-4, atol=1e-4)


def _with(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _options(peft):
    return [field.name for field in dataclasses.fields(peft.LoraConfig)]


def test_every_peft_option_is_read_or_does_not_matter_or_is_refused_by_name(peft, tmp_path):
    """Those of the installed PEFT, and one of a PEFT to come: none that is set passes in silence."""
    _peft_checkpoint(peft, LLAMA, tmp_path, r=4, target_modules=["q_proj", "v_proj"])
    config = (tmp_path / "adapter_config.json").read_text()
    load(LLAMA.make(), tmp_path)  # with every option at its default
    others = [option for option in (*_options(peft), "use_novelty") if option not in READ | NO_MATTER]
    assert len(others) > 8
    for option in others:
        for value in (True, 3, ["a"], {"a": 1}):
            _with(tmp_path, **{option: value})
            with pytest.raises(UsageError, match=rf"{option}={re.escape(repr(value))}.*(merge it with PEFT|not known)"):
                load(LLAMA.make(), tmp_path)
            (tmp_path / "adapter_config.json").write_text(config)
        _with(tmp_path, **{option: None})
        load(LLAMA.make(), tmp_path)


@pytest.mark.parametrize("task", ["SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"])
def test_the_adapter_of_another_head_is_refused_by_its_task(peft, task, tmp_path):
    _peft_checkpoint(peft, LLAMA, tmp_path, r=4, target_modules=["q_proj"], modules_to_save=["lm_head"])
    _with(tmp_path, task_type=task, modules_to_save=["classifier", "score"])
    with pytest.raises(UsageError, match=rf"was trained for .*\(task_type {task}\): it belongs to a head"):
        load(LLAMA.make(), tmp_path)


@models
@pytest.mark.parametrize("word", ["all-linear", "All-Linear"])
def test_all_linear_in_the_file_means_what_it_means_to_peft(peft, word, tiny, tmp_path):
    theirs = _peft_checkpoint(peft, tiny, tmp_path, r=4, target_modules="all-linear", init_lora_weights=False)
    _with(tmp_path, target_modules=word)
    model = tiny.make()
    handle = load(model, tmp_path)
    close(run(model, tiny), run(theirs, tiny))
    assert handle.adapter.placement == AllLinear()


@pytest.mark.parametrize("where", ["", "base_model.model.", "base_model.model.model.layers.0."])
def test_the_prefixes_of_a_compiled_model_are_none_of_a_name(peft, where, tmp_path):
    """``torch.compile`` before PEFT, after it, or of single layers."""
    theirs = _peft_checkpoint(peft, LLAMA, tmp_path, r=4, target_modules=["q_proj"], init_lora_weights=False)
    path = tmp_path / "adapter_model.safetensors"
    named = {name.replace(where, f"{where}_orig_mod.", 1): tensor for name, tensor in load_file(path).items()}
    assert any("_orig_mod" in name for name in named)
    save_file(named, path, {"format": "pt"})
    _with(tmp_path, target_modules=["_orig_mod.model.layers.0.self_attn.q_proj", "q_proj"])
    model = LLAMA.make()
    load(model, tmp_path)
    close(run(model, LLAMA), run(theirs, LLAMA))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layers_to_transform": [0], "target_modules": "all-linear"}, "only a list of names can be narrowed"),
        ({"layers_to_transform": ["0"]}, "layers_to_transform must be whole numbers, found"),
        ({"layers_to_transform": [7]}, "but for exclude_modules, in layers_to_transform.* does not have"),
        ({"layers_to_transform": [0], "layers_pattern": "("}, "is not a regular expression"),
        ({"exclude_modules": {"a": 1}}, "exclude_modules must be a list of text or one pattern, found"),
        ({"exclude_modules": "("}, "is not a regular expression"),
        ({"layers_to_transform": [0]}, "has 2 tensors this adapter has no place for"),
    ],
)
def test_a_narrowing_that_makes_no_sense_is_one_sentence(peft, changes, words, tmp_path):
    _peft_checkpoint(peft, LLAMA, tmp_path, r=4, target_modules=["q_proj"])
    _with(tmp_path, **changes)
    with pytest.raises(UsageError, match=words):
        load(LLAMA.make(), tmp_path)


def test_another_peft_method_is_refused(peft, tmp_path):
    peft.get_peft_model(LLAMA.make(), peft.VeraConfig(r=4, target_modules=["q_proj"])).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="holds a 'VERA' adapter; only PEFT LoRA can be loaded here"):
        load(LLAMA.make(), tmp_path)


def test_our_folder_saved_again_by_peft_after_more_training_is_not_misread(peft, tmp_path):
    """Plain LoRA: PEFT's new factors are ours too. OLoRA: the doubled factors moved freely, so we say so."""
    for adapter, readable in ((lora(4), True), (olora(4), False)):
        folder = tmp_path / adapter.init.name
        handle = attach(LLAMA.make(), adapter)
        move(handle)
        save(handle, folder)
        theirs = peft.PeftModel.from_pretrained(LLAMA.make(), folder, is_trainable=True)
        with torch.no_grad():
            for name, p in theirs.named_parameters():
                if "lora_" in name:
                    p.add_(0.01 * torch.randn_like(p))
        theirs.save_pretrained(folder)
        model = LLAMA.make()
        if not readable:
            with pytest.raises(UsageError, match="another program trained the adapter on"):
                load(model, folder)
            (folder / "rankwise.json").unlink()
            (folder / "rankwise_start.safetensors").unlink()
        load(model, folder)
        close(run(model, LLAMA), run(theirs.eval(), LLAMA))


# the fidelity that the cards claim


@pytest.mark.parametrize(
    ("name", "tiny"),
    # No OLoRA on GPT-2: PEFT takes the QR of its transposed weight, and the factors then fit no layer.
    [
        (name, tiny)
        for name in ("lora", "rslora", "olora", "pissa", "dora")
        for tiny in (LLAMA, GPT2)
        if (name, tiny) != ("olora", GPT2)
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_training_agrees_with_peft_step_by_step(peft, name, tiny):
    """Cards: "agrees with PEFT's implementation". Same factors, same data, three steps of SGD: same function.

    PEFT computes QR and SVD in float32 and edits the base; we keep the base: 1e-5 for those, rounding otherwise.
    """
    edits = name in ("olora", "pissa")
    dtype = torch.float32 if edits else torch.float64  # PEFT refuses a float64 base there
    adapter = build(name, rank=4, alpha=8)
    config = peft.LoraConfig(
        r=4,
        lora_alpha=8,
        use_rslora=name == "rslora",
        use_dora=name == "dora",
        init_lora_weights=name if edits else True,
        target_modules=sorted({path.rpartition(".")[2] for path in tiny.shapes}),
        fan_in_fan_out=tiny is GPT2,
    )
    model = tiny.make(dtype)
    handle = attach(model, adapter)
    theirs = peft.get_peft_model(tiny.make(dtype), config).eval()
    layers = {path: theirs.get_submodule(f"base_model.model.{path}") for path in tiny.shapes}
    with torch.no_grad():
        for path, slot in handle.slots.items():
            A, B = layers[path].lora_A["default"].weight, layers[path].lora_B["default"].weight
            if edits:
                torch.testing.assert_close(slot.factors["B"] @ slot.factors["A"], B @ A, rtol=1e-4, atol=1e-5)
            A.copy_(slot.factors["A"])  # the same signs of singular vectors, the same random A
            B.copy_(slot.factors["B"])
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if edits else {"rtol": 1e-11, "atol": 1e-11}
    optimizers = [
        torch.optim.SGD(handle.trainable().values(), lr=0.05),
        torch.optim.SGD([p for n, p in theirs.named_parameters() if "lora_" in n], lr=0.05),
    ]
    for _ in range(3):
        for optimizer, net in zip(optimizers, (model, theirs), strict=True):
            optimizer.zero_grad()
            net(tiny.inputs, labels=tiny.inputs).loss.backward()
            optimizer.step()
    torch.testing.assert_close(run(model, tiny), run(theirs, tiny), **tolerance)
    for path, slot in handle.slots.items():
        torch.testing.assert_close(slot.factors["A"].detach(), layers[path].lora_A["default"].weight, **tolerance)
        torch.testing.assert_close(slot.factors["B"].detach(), layers[path].lora_B["default"].weight, **tolerance)
        if name == "dora":
            m = layers[path].lora_magnitude_vector["default"].weight
            torch.testing.assert_close(slot.factors["m"].detach(), m, **tolerance)


def test_peft_is_where_a_second_pissa_corrupts_the_first_and_we_are_not(peft):
    """Why the base is never edited. If PEFT mends this, docs/design/files.md#what-the-base-keeps changes."""
    theirs = LLAMA.make(torch.float32)
    base = run(theirs, LLAMA)
    config = peft.LoraConfig(r=4, lora_alpha=4, target_modules=["q_proj"], init_lora_weights="pissa")
    theirs = peft.get_peft_model(theirs, config)
    theirs.add_adapter("second", config)
    theirs.set_adapter("default")
    ours = LLAMA.make(torch.float32)
    first = attach(ours, replace(pissa(4), placement=placement("q_proj,")))
    second = attach(ours, first.adapter, name="second")
    with second.disable():
        assert torch.equal(run(ours, LLAMA), base)
    assert (run(theirs, LLAMA) - base).abs().max() > 0.1


def test_peft_refuses_the_dora_that_it_does_not_have_and_would_misread(peft, tmp_path):
    """One magnitude per input: on a square weight PEFT would take it for one per output without an error."""
    handle = attach(LLAMA.make(), dora(4, axis="in", placement="q_proj,"))
    save(handle, tmp_path)
    with pytest.raises(KeyError, match="RANKWISE"):
        _in_peft(peft, tmp_path, LLAMA)
    (tmp_path / "rankwise.json").unlink()
    with pytest.raises(UsageError, match="holds a 'RANKWISE' adapter"):
        load(LLAMA.make(), tmp_path)


def test_rows_cover_every_choice():
    for axis, registry in (
        ("parametrization", PARAMETRIZATIONS),
        ("init", INITS),
        ("scaling", SCALINGS),
        ("optimizer", OPTIMIZERS),
    ):
        on_codes = {name for name, choice in registry.items() if getattr(choice, "quantized", False)}  # test_nf4
        # Held in tests of their own; the control of an experiment (tests/analysis/test_studies.py) has no formula.
        elsewhere = {"bottleneck", "tensor-train-bottleneck", "norm-tuning", "soft-prompt", "prefix", "slices"}
        elsewhere |= {"olora-control", "lora-fa", "hybrid", "long-context", "expert-low-rank", "encoded-prompt"}
        # It starts near its base, so a second one reads other bits off the data: adapters/test_deep_lora.py.
        elsewhere |= {"gradient-frame"}
        assert {getattr(row.adapter, axis).name for row in ROWS} == set(registry) - on_codes - elsewhere
