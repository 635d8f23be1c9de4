"""A folder that is not quite right is refused with one sentence, and the model stays as it was."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from rankwise.adapters import attach, load, save
from rankwise.errors import UsageError
from rankwise.methods import lora, olora

from ..contract.models import GPT2, LLAMA, SEQUENTIAL
from ..contract.tools import move, run

TENSORS, START = "adapter_model.safetensors", "rankwise_start.safetensors"
Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture(params=[lora(4), olora(4)], ids=["lora", "olora"])
def folder(request, tmp_path):
    handle = attach(LLAMA.make(), request.param)
    move(handle)
    return save(handle, tmp_path / "adapter", base_model="tiny", base_fingerprint="f" * 64)


@pytest.fixture
def edited(tmp_path):
    handle = attach(LLAMA.make(), olora(4))
    move(handle)
    return save(handle, tmp_path / "adapter")


def refused(folder, message, tiny=LLAMA, **options):
    model = tiny.make()
    before, logits = _anatomy(model), run(model, tiny)
    with pytest.raises(UsageError, match=message) as error:
        load(model, folder, **options)
    assert _anatomy(model) == before, "nothing stays attached"
    assert torch.equal(run(model, tiny), logits)
    assert "\n" not in str(error.value)


def _anatomy(model):
    modules = {name: (type(m), set(vars(m)) - {"_rankwise_frozen"}) for name, m in model.named_modules()}
    return modules, {name: p.requires_grad for name, p in model.named_parameters()}


def change(path, edit):
    """Save tensors as another program does: without our digest, so that what they say counts."""
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def write(path, text):
    """Edit a small file: the sums tell, and without them what it says counts."""
    path.write_text(text)
    refused(
        path.parent, f"{path.name} is not what was written .*; copy the adapter again, or, if .* on purpose, remove"
    )
    (path.parent / "rankwise.sha256").unlink()


@pytest.mark.parametrize("name", ["adapter_config.json", TENSORS])
def test_missing_file(folder, name):
    (folder / name).unlink()
    refused(folder, f"{name} does not exist; an adapter folder holds")


def test_missing_folder(tmp_path):
    refused(tmp_path / "nowhere", "nowhere/adapter_config.json does not exist")


@pytest.mark.parametrize("keep", [0, 4, 200, -1], ids=["empty", "header cut", "tensors cut", "one byte short"])
def test_truncated_tensors(folder, keep):
    path = folder / TENSORS
    path.write_bytes(path.read_bytes()[:keep])
    refused(folder, f"{TENSORS} is damaged or truncated .*; copy it again")


def test_a_pickle_is_never_opened(folder):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was opened",))

    (folder / TENSORS).unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Trap()))
    refused(folder, r"holds a pickle \(\.bin\), which is never opened; convert it to safetensors")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_not_finite(folder, bad):
    change(folder / TENSORS, lambda t: t[Q].__setitem__((0, 0), bad))
    refused(folder, rf"{Q} in .* holds NaN or infinity")


def test_missing_tensor(folder):
    change(folder / TENSORS, lambda t: t.pop(Q))
    refused(folder, f"lacks 1 tensors of this model: {Q}")


def test_extra_tensor(folder):
    change(folder / TENSORS, lambda t: t.update({"base_model.model.lm_head.lora_A.weight": torch.zeros(4, 16)}))
    refused(folder, r"has 1 tensors this adapter has no place for: base_model\.model\.lm_head\.lora_A")


def test_wrong_shape(folder):
    change(folder / TENSORS, lambda t: t.update({Q: t[Q][:, :-1].clone()}))
    refused(folder, rf"{Q} in .* is \((4|8), 15\), this model needs \((4|8), 16\)")


def test_wrong_architecture(folder):
    for tiny in (GPT2, SEQUENTIAL):
        refused(folder, "adapts down_proj, gate_proj, .* which this .* does not have: another base", tiny=tiny)


def test_wrong_base(folder):
    refused(
        folder,
        r"was trained on another base \(fingerprint ffffffffffff, this model has 0+\)",
        base_fingerprint="0" * 64,
    )
    load(LLAMA.make(), folder, base_fingerprint="f" * 64)
    load(LLAMA.make(), folder)  # nothing to compare with


def test_a_name_that_is_taken(folder):
    model = LLAMA.make()
    first = load(model, folder)
    before = run(model, LLAMA)
    with pytest.raises(UsageError, match="'default' is already attached"):
        load(model, folder)
    assert torch.equal(run(model, LLAMA), before)
    assert len(first.layers) == 14


def test_a_failed_load_keeps_an_earlier_adapter(folder):
    model = LLAMA.make()
    earlier = attach(model, lora(3), name="earlier")
    move(earlier)
    before = run(model, LLAMA)
    change(folder / TENSORS, lambda t: t.pop(Q))
    with pytest.raises(UsageError):
        load(model, folder)
    assert torch.equal(run(model, LLAMA), before)
    assert not any("default" in key for key in model.state_dict())


@pytest.mark.parametrize("name", ["adapter_config.json", "rankwise.json"])
@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "line 1: broken JSON"), ("[1]", ": expected a JSON object, found a list")],
    ids=["cut", "list"],
)
def test_damaged_json(folder, name, text, message):
    write(folder / name, text)
    refused(folder, f"{name} ?{message}")


@pytest.mark.parametrize("key", ["adapter", "seed"])
def test_our_spec_lacks_a_key(folder, key):
    spec = json.loads((folder / "rankwise.json").read_text())
    del spec[key]
    write(folder / "rankwise.json", json.dumps(spec))
    refused(folder, f"rankwise.json lacks '{key}'; copy it again")


def test_a_method_of_a_later_version(folder):
    spec = json.loads((folder / "rankwise.json").read_text())
    spec["adapter"]["init"] = "moonshot"
    write(folder / "rankwise.json", json.dumps(spec))
    refused(folder, "unknown init 'moonshot'")


@pytest.mark.parametrize(("key", "value"), [("lora_alpha", 64), ("r", 2), ("use_rslora", True)])
def test_a_scale_edited_in_pefts_config_is_not_ignored(folder, key, value):
    """PEFT would obey it and we would not: the same folder must not mean two things."""
    config = json.loads((folder / "adapter_config.json").read_text())
    config[key] = value
    write(folder / "adapter_config.json", json.dumps(config))
    refused(folder, f"adapter_config.json has {key}={value} but rankwise.json implies")


def test_start_file_missing(edited):
    (edited / START).unlink()
    refused(edited, f"{START} does not exist")


@pytest.mark.parametrize("suffix", ["B", "A_start"])
def test_start_file_lacks_a_layer(edited, suffix):
    change(edited / START, lambda t: t.pop(f"model.layers.1.mlp.up_proj.{suffix}"))
    refused(edited, r"rankwise_start\.safetensors lacks the factors of model\.layers\.1\.mlp\.up_proj")


@pytest.mark.parametrize("suffix", ["B", "A_start"])
@pytest.mark.parametrize("how", ["other values", "nan", "a row to be broadcast"])
def test_start_file_of_another_adapter(edited, suffix, how):
    """Also what a second program leaves when it trains our exported adapter on: the two files disagree."""
    key = f"model.layers.1.mlp.up_proj.{suffix}"

    def edit(tensors):
        if how == "other values":
            tensors[key] += 1e-3
        elif how == "nan":
            tensors[key][0, 0] = float("nan")
        else:
            tensors[key] = tensors[key][:1].clone()

    change(edited / START, edit)
    refused(edited, r"rankwise_start\.safetensors does not belong to adapter_model\.safetensors")


def test_without_our_own_files_the_folder_is_plain_lora(edited):
    """The way out that the message names: PEFT's two files alone are the exact rank-2r form."""
    model = LLAMA.make()
    whole = load(model, edited)
    expected = run(model, LLAMA)
    (edited / START).unlink()
    (edited / "rankwise.json").unlink()
    fresh = LLAMA.make()
    plain = load(fresh, edited)
    assert plain.adapter.rank == 2 * whole.adapter.rank
    assert not plain.adapter.init.edits_base
    torch.testing.assert_close(run(fresh, LLAMA), expected, rtol=1e-10, atol=1e-10)


def test_saving_refuses_what_could_not_be_loaded(tmp_path):
    model = LLAMA.make()
    handle = attach(model, lora(4))
    handle.merge()
    with pytest.raises(UsageError, match="is merged into the base; unmerge it before saving"):
        save(handle, tmp_path / "a")
    handle.unmerge()
    with torch.no_grad():
        handle.trainable()["model.layers.0.mlp.up_proj.B"][0, 0] = float("nan")
    with pytest.raises(UsageError, match=r"model\.layers\.0\.mlp\.up_proj\.B holds NaN or infinity; nothing was saved"):
        save(handle, tmp_path / "a")
    handle.detach()
    with pytest.raises(UsageError, match="was detached; there is nothing to save"):
        save(handle, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_failed_write_leaves_the_older_adapter_whole(edited, monkeypatch):
    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    expected = {p.name: p.read_bytes() for p in edited.iterdir()}
    handle = attach(LLAMA.make(), olora(4), seed=1)
    move(handle)
    monkeypatch.setattr("rankwise.tensor_files.write", full_disk)
    with pytest.raises(OSError, match="No space"):
        save(handle, edited)
    assert {p.name: p.read_bytes() for p in edited.iterdir()} == expected


CONFIGS = {
    "lora_alpha": [10**400, "x", True, [8], float("inf")],
    "r": ["4", 0, True, 10**400, 2.5, None],
    "target_modules": [5, True, [5], {"a": 1}, "(", "(a|.|[a-z])*[XY]"],
    "modules_to_save": ["norm", 5, [5], True],
    "rank_pattern": [[1], 5, "x", {"(": 1}, {"(a|.|[a-z])*[XY]": 1}, {"q_proj": "x"}, {"q_proj": 10**400}],
    "alpha_pattern": [[1], {"q_proj": "x"}, {"q_proj": 10**400}],
    "lora_dropout": ["x", [0.1], True, 10**400],
    "use_rslora": ["no", 5],
    "use_dora": ["no", [1]],
    "peft_type": [5, None, ["LORA"]],
    "init_lora_weights": [5, [1]],
    "bias": [5, ["all"]],
}


@pytest.mark.parametrize("key", CONFIGS)
def test_an_option_of_another_type(key, tmp_path, monkeypatch):
    """PEFT's config is read by type: each of these was an exception of Python's, or meant what nobody wrote."""
    monkeypatch.setattr("rankwise.reading.patterns.SECONDS", 0.1)
    folder = save(attach(LLAMA.make(), lora(4)), tmp_path / "adapter")
    for name in ("rankwise.json", "rankwise.sha256"):
        (folder / name).unlink()
    model = LLAMA.make()
    good = json.loads((folder / "adapter_config.json").read_text())
    for value in CONFIGS[key]:
        (folder / "adapter_config.json").write_text(json.dumps({**good, key: value}))
        with pytest.raises(
            UsageError, match="pattern" if "pattern" in key else "5|None|LORA" if key == "peft_type" else key
        ) as error:
            load(model, folder)
        assert str(folder) in str(error.value)
        assert len(str(error.value)) < 400 + len(str(folder))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "x"},
        {"seed": None},
        {"adapter": None},
        {"adapter": [1]},
        {"adapter": {"init": 5}},
        {"adapter": {"init": {"name": 5}}},
        {"adapter": {"rank": "x"}},
        {"adapter": {"events": 5}},
        {"adapter": {"parametrization": {"name": "lora", "x": 1}}},
        {"base_fingerprint": 5},
        {"layout": "rankwise", "ranks": {"a": "x"}},
        {"layout": "rankwise", "ranks": [1]},
    ],
    ids=str,
)
def test_our_spec_of_another_type(change, tmp_path):
    folder = save(attach(LLAMA.make(), lora(4)), tmp_path / "adapter")
    (folder / "rankwise.sha256").unlink()
    spec = json.loads((folder / "rankwise.json").read_text())
    (folder / "rankwise.json").write_text(json.dumps({**spec, **change}))
    with pytest.raises(UsageError):
        load(LLAMA.make(), folder)
