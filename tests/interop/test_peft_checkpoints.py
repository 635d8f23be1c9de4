"""PEFT -> ours -> PEFT: logits and the bytes of tensors, for what the catalogue's own files never contain."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from rankwise.adapters import adapters_in, attach, load, load_all, save, save_all
from rankwise.errors import UsageError
from rankwise.methods import lora

from ..contract.models import GPT2, LLAMA
from ..contract.tools import base_hash, close, move, run

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT warns of tied heads and adapted embeddings
FILE = "adapter_model.safetensors"

OPTIONS = {
    "rank pattern": {"target_modules": ["q_proj", "down_proj"], "rank_pattern": {"q_proj": 2, r"layers\.1\.mlp.*": 3}},
    "alpha pattern": {"target_modules": ["q_proj", "v_proj"], "alpha_pattern": {"layers.1.self_attn.q_proj": 3}},
    "both, rs": {
        "target_modules": ["q_proj", "v_proj"],
        "rank_pattern": {"q_proj": 2},
        "alpha_pattern": {"v_proj": 5.5},
        "use_rslora": True,
    },
    "both, dora": {
        "target_modules": ["q_proj", "up_proj"],
        "rank_pattern": {"q_proj": 7},
        "alpha_pattern": {"q_proj": 1},
        "use_dora": True,
    },
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "embedding alone": {"target_modules": ["embed_tokens"], "use_rslora": True},
    "embedding, rank pattern": {"target_modules": ["embed_tokens", "o_proj"], "rank_pattern": {"embed_tokens": 2}},
    "tied head": {"target_modules": ["lm_head", "q_proj"]},
    "whole head": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "whole head and norms": {"target_modules": "all-linear", "modules_to_save": ["lm_head", "norm"]},
    "whole embedding": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "a layer": {"target_modules": ["q_proj", "v_proj"], "layers_to_transform": 1},
    "layers by name": {"target_modules": ["q_proj"], "layers_to_transform": [0, 7], "layers_pattern": "layers"},
    "a layer and a full name": {
        "target_modules": ["q_proj", "model.layers.0.mlp.up_proj"],
        "layers_to_transform": [1],
        "layers_pattern": ["h", "layers"],
    },
    "excluded": {"target_modules": ["q_proj", "v_proj"], "exclude_modules": ["layers.0.self_attn.v_proj", "up_proj"]},
    "excluded by regex": {"target_modules": "all-linear", "exclude_modules": r".*\.mlp\..*"},
    "one for both tables": {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True},
    "whole for both tables": {
        "target_modules": ["q_proj"],
        "modules_to_save": ["embed_tokens"],
        "ensure_weight_tying": True,
    },
    "tying of nothing": {"target_modules": ["q_proj"], "ensure_weight_tying": True},
}
GPT2_OPTIONS = {
    "conv1d": {"target_modules": ["c_attn", "c_proj"], "rank_pattern": {"c_attn": 2}},
    "embeddings": {"target_modules": ["wte", "wpe", "c_fc"]},
    "whole position table": {"target_modules": ["c_attn"], "modules_to_save": ["wpe"]},
}
CASES = [(LLAMA, name, options) for name, options in OPTIONS.items()]
CASES += [(GPT2, name, options) for name, options in GPT2_OPTIONS.items()]


@pytest.fixture(scope="module")
def peft():
    return pytest.importorskip("peft")


def make(peft, tiny, folder, dtype=torch.float64, **options):
    """A checkpoint whose every tensor has moved."""
    torch.manual_seed(3)
    config = peft.LoraConfig(
        r=4, lora_alpha=8, task_type="CAUSAL_LM", init_lora_weights=False, fan_in_fan_out=tiny is GPT2, **options
    )
    model = peft.get_peft_model(tiny.make(), config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "modules_to_save" in name or "magnitude" in name:
                p.mul_(1 + 0.3 * torch.rand_like(p))
    model.save_pretrained(folder)
    if dtype != torch.float64:
        _edit(folder, lambda t: t.update({k: v.to(dtype) for k, v in t.items() if "base_layer" not in k}))
        model = peft.PeftModel.from_pretrained(tiny.make(), folder).eval()
    return model


def parts(path):
    """A safetensors file's header without its metadata (ours has a digest), and the bytes of its tensors."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    del header["__metadata__"]
    return header, raw[8 + length :]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=["float64", "bfloat16"])
@pytest.mark.parametrize(("tiny", "name", "options"), CASES, ids=[f"{tiny.name}: {name}" for tiny, name, _ in CASES])
def test_there_and_back(peft, tiny, name, options, dtype, tmp_path):
    theirs = make(peft, tiny, tmp_path / "theirs", dtype, **options)
    model = tiny.make()
    before, base = base_hash(model), run(model, tiny)
    handle = load(model, tmp_path / "theirs")
    expected = run(theirs, tiny)
    if not (dtype == torch.bfloat16 and "whole" in name):  # a whole bf16 copy of a table is the base's dtype here
        close(run(model, tiny), expected)
    assert (run(model, tiny) - base).abs().max() > 1e-3
    save(handle, tmp_path / "ours")
    one, two = (parts(tmp_path / who / FILE) for who in ("theirs", "ours"))
    assert one == two
    again = peft.PeftModel.from_pretrained(tiny.make(), tmp_path / "ours").eval()
    close(run(again, tiny), expected)
    close(run((fresh := tiny.make()), tiny), base)
    load(fresh, tmp_path / "ours")
    assert torch.equal(run(fresh, tiny), run(model, tiny)), "our own copy of it loads too"
    handle.disable()
    assert torch.equal(run(model, tiny), base)
    handle.enable()
    handle.merge()
    close(run(model, tiny), expected)
    handle.unmerge()
    handle.detach()
    assert base_hash(model) == before


def test_ranks_and_scales_are_each_modules_own(peft, tmp_path):
    theirs = make(peft, LLAMA, tmp_path, **OPTIONS["both, rs"])
    handle = load(LLAMA.make(), tmp_path)
    for match in handle.matched:
        layer = theirs.get_submodule(f"base_model.model.{match.module}")
        assert match.rank == layer.r["default"]
        assert match.scaling == layer.scaling["default"]


def test_an_embedding_trains_on_and_every_factor_gets_its_gradient(peft, tmp_path):
    make(peft, LLAMA, tmp_path, **OPTIONS["embedding"])
    model = LLAMA.make()
    handle = load(model, tmp_path)
    run_loss = model(LLAMA.inputs, labels=LLAMA.inputs).loss
    run_loss.backward()
    factors = {name: p for name, p in handle.trainable().items() if "embed" in name}
    assert set(factors) == {"model.embed_tokens.A", "model.embed_tokens.B"}
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in factors.values())
    untouched = sorted(set(range(32)) - set(LLAMA.inputs.flatten().tolist()))
    assert not factors["model.embed_tokens.A"].grad[:, untouched].any()


@pytest.mark.parametrize("kept", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_over_any_base_file_an_adapter_of_unknown_origin_goes_through_every_command(peft, kept, tmp_path, capsys):
    """PEFT saves the table under an adapted embedding: a base that was rounded on the way would be another one."""
    from rankwise.cli.main import main

    from .tools import base_folder

    base = base_folder(tmp_path / "base", tied=False, dtype=kept)
    options = {"r": 4, "init_lora_weights": False, "target_modules": ["q_proj", "embed_tokens"]}
    theirs = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **options))
    theirs.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    theirs.save_pretrained(tmp_path / "a", save_embedding_layers=True)
    adapter = str(tmp_path / "a")
    for command in (
        ["export", adapter, "--for", "peft"],
        ["compress", adapter, "--rank", "2", "--out", str(tmp_path / "c")],
        ["merge", str(tmp_path / "base"), adapter, "--out", str(tmp_path / "m")],
        ["eval", adapter, "--examples", "1", "--answers", "0"],
        ["generate", "x", "--adapter", adapter, "--max-new-tokens", "1"],
    ):
        assert main(command) == 0, capsys.readouterr().err


def test_several_adapters_in_one_folder_both_ways(peft, tmp_path):
    torch.manual_seed(5)
    theirs = peft.get_peft_model(LLAMA.make(), peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    theirs.add_adapter("second", peft.LoraConfig(r=3, target_modules=["v_proj"], init_lora_weights=False))
    theirs.eval().save_pretrained(tmp_path)
    assert list(adapters_in(tmp_path)) == ["default", "second"]
    model = LLAMA.make()
    handles = load_all(model, tmp_path)
    for name in ("default", "second"):
        theirs.set_adapter(name)
        for other in handles.values():
            other.disable()
        handles[name].enable()
        close(run(model, LLAMA), run(theirs, LLAMA))
    save_all(handles, tmp_path / "ours")
    for inside in ("", "second"):
        one, two = (parts(folder / inside / FILE) for folder in (tmp_path, tmp_path / "ours"))
        assert one == two
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(UsageError, match="It holds adapters ours, second: give"):
        load(LLAMA.make(), tmp_path)


@pytest.mark.parametrize("name", ["../evil", "a/b", "..", "", "a\\b"])
def test_a_name_that_leads_out_of_the_folder_writes_nothing(name, tmp_path):
    handle = attach(LLAMA.make(), lora(2))
    with pytest.raises(UsageError, match="nothing was written"):
        save_all({"default": handle, name: handle}, tmp_path / "inside")
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="without dots or slashes"):
        attach(LLAMA.make(), lora(2), name=name)


def test_two_adapters_cannot_replace_the_same_tensor(peft, tmp_path):
    make(peft, LLAMA, tmp_path, **OPTIONS["whole head"])
    model = LLAMA.make()
    first = load(model, tmp_path)
    with pytest.raises(UsageError, match=r"already replaces lm_head\.weight"):
        load(model, tmp_path, name="again")
    first.disable()
    load(model, tmp_path, name="again")
    with pytest.raises(UsageError, match=r"already replaces lm_head\.weight"):
        first.enable()


def test_a_batch_is_not_mixed_over_whole_tensors(peft, tmp_path):
    import rankwise as rw

    make(peft, LLAMA, tmp_path, **OPTIONS["whole head"])
    model = LLAMA.make()
    handle = load(model, tmp_path)
    with pytest.raises(UsageError, match="replaces whole tensors"), rw.mixed(model, [handle, None]):
        pass


def _edit(folder, change):
    tensors = load_file(folder / FILE)
    change(tensors)
    save_file(tensors, folder / FILE, {"format": "pt"})


HEAD, NORM = "base_model.model.lm_head.weight", "base_model.model.model.norm.weight"


@pytest.mark.parametrize(
    ("options", "change", "words"),
    [
        ("whole head", lambda t: t.pop(HEAD), r"lacks the tensors of modules_to_save: lm_head"),
        (
            "whole head",
            lambda t: t.update({HEAD: t[HEAD][:-1].clone()}),
            r"is \(31, 16\): it knows 31 tokens, this model 32\..*resize_token_embeddings\(31\)",
        ),
        ("whole head", lambda t: t[HEAD].__setitem__((0, 0), float("nan")), "holds NaN or infinity"),
        (
            "rank pattern",
            lambda t: t.update({NORM: torch.zeros(16), "x": torch.zeros(1)}),
            f"has 2 tensors this adapter has no place for: {NORM}, x",
        ),
        (
            "embedding",
            lambda t: t["base_model.model.model.embed_tokens.base_layer.weight"].add_(1),
            r"is not this model's model\.embed_tokens\.weight",
        ),
    ],
    ids=["whole missing", "whole shape", "whole nan", "extra listed", "another table"],
)
def test_bad_tensors(peft, options, change, words, tmp_path):
    make(peft, LLAMA, tmp_path, **OPTIONS[options])
    _edit(tmp_path, change)
    model = LLAMA.make()
    before = base_hash(model)
    with pytest.raises(UsageError, match=words) as error:
        load(model, tmp_path)
    assert "\n" not in str(error.value)
    assert base_hash(model) == before
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bias": "all"}, "uses bias='all'"),
        ({"rank_pattern": {"q_proj": 0}}, "rank_pattern 'q_proj' must be a whole number"),
        ({"rank_pattern": {"(": 2}}, "is not a regular expression"),
        ({"lora_alpha": "loud"}, "lora_alpha must be a number"),
        ({"r": True}, "r must be a whole number"),
        ({"target_modules": "("}, "is not a regular expression"),
        ({"target_modules": ["c_attn"]}, "adapts c_attn, which this LlamaForCausalLM does not have"),
        ({"peft_type": "VERA"}, "holds a 'VERA' adapter"),
        ({"peft_type": None}, "holds a None adapter"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_config(peft, change, words, tmp_path):
    make(peft, LLAMA, tmp_path, target_modules=["q_proj"])
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UsageError, match=words):
        load(LLAMA.make(), tmp_path)


def test_dora_on_an_embedding_is_refused(peft, tmp_path):
    make(peft, LLAMA, tmp_path, target_modules=["embed_tokens"], use_dora=True)
    with pytest.raises(UsageError, match="is an embedding with DoRA"):
        load(LLAMA.make(), tmp_path)


def test_a_moved_bfloat16_factor_is_saved_without_loss(peft, tmp_path):
    """Factors come back in the file's bfloat16 only while that loses nothing."""
    make(peft, LLAMA, tmp_path / "theirs", torch.bfloat16, target_modules=["q_proj"])
    handle = load(LLAMA.make(), tmp_path / "theirs")
    move(handle)
    saved = load_file(save(handle, tmp_path / "ours") / FILE)
    assert {t.dtype for t in saved.values()} == {torch.float64}
