"""Merging for every causal family of transformers: names and fused tensors as each family has them in its files."""

from __future__ import annotations

import json
import re

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from rankwise.adapters.placements import Experts, InputEmbeddings, Regex, linear_modules
from rankwise.errors import UsageError
from rankwise.integrations.merge import merge
from rankwise.integrations.merge.names import Names
from rankwise.integrations.merge.plan import skeleton
from rankwise.integrations.merge.shards import open_shards
from rankwise.methods import lora
from rankwise.models import byte_tokenizer, load_base
from rankwise.models.folder import check_folder

from .families import families, tiny_family
from .tools import adapter_folder

pytestmark = pytest.mark.filterwarnings("ignore")
IDS = torch.arange(20)[None] * 7 % 250

# One of each kind: a renamed head, one tensor of the files that is two of the model, layers that share their weights.
KINDS = ["gpt_neox", "hrm_text", "zamba"]
# What no adapter of ours can be merged into, and the words that say why.
REFUSED = {"emu3": "cannot build the model", "mllama": "cannot build the model"}
# transformers sets the row of youtu's padding token to zero while it loads a table that nothing is tied to.
UPSTREAM = {("youtu", "embedding")}


def plain_linears(model):
    """The linear modules that a text goes through and that are linear: routers may return more than x W."""
    found = []

    def see(name):
        def hook(module, inputs, output):
            W = module.weight if isinstance(module, nn.Linear) else module.weight.T
            expected = F.linear(inputs[0], W, module.bias)
            if isinstance(output, torch.Tensor) and output.shape == expected.shape and torch.allclose(output, expected):
                found.append(name)

        return hook

    hooks = [module.register_forward_hook(see(name)) for name, module in linear_modules(model).items()]
    with torch.no_grad():
        model(input_ids=IDS, use_cache=False)
    for hook in hooks:
        hook.remove()
    return Regex("^(?:" + "|".join(re.escape(name) for name in sorted(set(found))) + ")$")


def base_of(family, folder, shard="80KB"):
    try:
        model = tiny_family(family)
        with torch.no_grad():
            model(input_ids=IDS, use_cache=False)
    except Exception as error:
        pytest.skip(f"no tiny {family}: {type(error).__name__}: {str(error)[:200]}")
    model.save_pretrained(folder, max_shard_size=shard)
    byte_tokenizer().save_pretrained(folder)
    return model


def tensors_of(folder):
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}


def placements_of(model):
    """Linear layers; experts and the embedding, where there are such."""
    found = {"linear": plain_linears(model)}
    if Experts().candidates(model):
        found["experts"] = Experts()
    if type(model.get_input_embeddings()) is nn.Embedding:
        found["embedding"] = InputEmbeddings()
    return found


def merges(model, family, place, folder):
    """Merge an adapter there, or see it refused for the reason that is written above."""
    base, out = folder.parent / "base", folder / "out"
    adapter = adapter_folder(model, folder / "a", lora(4, placement=place), base)
    if family in REFUSED:
        with pytest.raises(UsageError, match=REFUSED[family]):
            merge(str(base), adapter, out)
        return
    done = merge(str(base), adapter, out)
    share = done.proof.unrounded / done.proof.largest
    print(f"{family}, {folder.name}: gap {share:.1e} of the largest logit, effect {done.proof.effect:.1e}")
    assert share <= 5e-5
    assert done.proof.stored <= 1e-6 * done.proof.largest
    assert done.proof.effect > 0.001 * done.proof.largest
    before, after = tensors_of(base), tensors_of(out)
    different = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert before.keys() <= after.keys()
    assert len(different) <= done.changed, "what is not adapted keeps its bits"


@pytest.mark.parametrize("family", KINDS)
def test_each_kind_of_files_merges(family, tmp_path):
    model = base_of(family, tmp_path / "base")
    merges(model, family, plain_linears(model), tmp_path / "linear")


@pytest.mark.parametrize("family", ["mixtral", "granitemoe"])
def test_experts_merge(family, tmp_path):
    """Held one by one in the files, and fused there too."""
    model = base_of(family, tmp_path / "base")
    merges(model, family, Experts(), tmp_path / "experts")


@pytest.mark.slow
@pytest.mark.parametrize("family", families())
def test_every_family_merges(family, tmp_path):
    """Where a head is tied to an adapted embedding, it becomes a tensor of its own, as do all other tied tensors."""
    model = base_of(family, tmp_path / "base")
    for what, place in placements_of(model).items():
        if (family, what) not in UPSTREAM:
            merges(model, family, place, tmp_path / what)


@pytest.mark.slow
def test_nearly_every_family_can_be_made_tiny():
    """So that a skip above is an exception: 15 of 189 in transformers 5.23, most of them for images or music."""
    made = 0
    for family in families():
        try:
            tiny_family(family)
            made += 1
        except Exception as error:
            print(f"{family}: {type(error).__name__}: {str(error)[:150]}")
    assert made >= 0.9 * len(families())


def names_of(base):
    shards = open_shards(base, check_folder(base))
    return Names(skeleton(base, torch.float32), shards), shards


def test_tensors_read_by_the_models_names_are_the_loaded_ones(tmp_path):
    """Also from a checkpoint of the bare model, whose names lack the prefix."""
    model = base_of("qwen3_moe", tmp_path / "base")
    model.model.save_pretrained(tmp_path / "bare")
    bare = json.loads((tmp_path / "base" / "config.json").read_text())
    (tmp_path / "bare" / "config.json").write_text(json.dumps(bare))
    for folder in (tmp_path / "base", tmp_path / "bare"):
        names, _ = names_of(folder)
        for name, parameter in model.named_parameters():
            if folder.name == "base" or not name.startswith("lm_head"):
                assert torch.equal(names.read(name), parameter), name


def test_a_part_goes_back_to_the_very_tensors_of_the_files(tmp_path):
    base_of("mixtral", tmp_path / "base", shard="20KB")
    names, shards = names_of(tmp_path / "base")
    fused = {part for part in names.parts.values() if part.converter is not None}
    assert any(len({shards.entries[file].file for file in part.files}) > 1 for part in fused), "of several files"
    for part in fused:
        names.check_back(part)
        back = names.back(part, {name: names.read(name) for name in part.shapes})
        assert back.keys() == part.files.keys()
        for file, tensor in back.items():
            assert torch.equal(tensor, shards.read(file))


def test_a_way_back_that_transformers_lacks_is_said_before_anything_is_written(tmp_path, monkeypatch):
    from transformers.core_model_loading import MergeModulelist

    model = base_of("mixtral", tmp_path / "base")
    adapter = adapter_folder(model, tmp_path / "a", lora(4, placement=Experts()), tmp_path / "base")
    untouched = adapter_folder(model, tmp_path / "b", lora(4, placement="attention"), tmp_path / "base")

    def none(self):
        raise NotImplementedError("no way back")

    monkeypatch.setattr(MergeModulelist, "reverse_op", property(none))
    with pytest.raises(UsageError, match=r"joins .*experts.* cannot take them apart again.*no way back"):
        merge(str(tmp_path / "base"), adapter, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    merge(str(tmp_path / "base"), untouched, tmp_path / "out", check=False)
    before, after = tensors_of(tmp_path / "base"), tensors_of(tmp_path / "out")
    assert all(torch.equal(before[name], after[name]) for name in before if "expert" in name)


def test_the_fingerprint_of_what_stays_in_float32(tmp_path):
    """Some classes keep a few tensors in float32 whatever dtype is asked for; the files are the same base."""
    base = tmp_path / "base"
    base_of("ernie4_5_moe", tmp_path / "wide").bfloat16().save_pretrained(base)
    byte_tokenizer().save_pretrained(base)
    loaded = load_base(str(base)).model
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16, torch.float32}
    adapter = adapter_folder(loaded, tmp_path / "a", lora(4, placement="attention"), base)
    assert merge(str(base), adapter, tmp_path / "out", check=False).changed > 0


def test_a_merged_base_merges_again(tmp_path):
    """What is written is a folder like the base's: the next adapter finds its names."""
    model = base_of("mixtral", tmp_path / "base")
    first = adapter_folder(model, tmp_path / "a", lora(4, placement=Experts()), tmp_path / "base")
    merge(str(tmp_path / "base"), first, tmp_path / "one", check=False)
    model = load_base(str(tmp_path / "one"), dtype=torch.float32).model
    second = adapter_folder(model, tmp_path / "b", lora(4, placement="attention"), tmp_path / "one")
    assert merge(str(tmp_path / "one"), second, tmp_path / "two").proof.stored == 0
    assert json.loads((tmp_path / "two" / "config.json").read_text()) == json.loads(
        (tmp_path / "base" / "config.json").read_text()
    )
