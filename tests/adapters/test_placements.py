"""Strict placement: what each choice matches, and errors that name what there is."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from torch import nn

from rankwise.adapters import Adapter, attach
from rankwise.adapters.placements import MLP, AllLinear, Attention, Regex, Suffixes, linear_modules
from rankwise.errors import UsageError
from rankwise.methods import lora, placement

from ..contract.models import GPT2, LLAMA, SEQUENTIAL


def _matched(tiny, where):
    return [m.module for m in attach(tiny.make(), lora(2, placement=where)).matched]


def test_gpt2_has_two_c_proj_and_they_are_told_apart():
    """A list of suffixes cannot: PEFT's ``c_proj`` adapts both."""
    h = "transformer.h.{}.".format
    attention = [f"{h(i)}attn.{n}" for i in (0, 1) for n in ("c_attn", "c_proj")]
    mlp = [f"{h(i)}mlp.{n}" for i in (0, 1) for n in ("c_fc", "c_proj")]
    assert _matched(GPT2, "attention") == attention
    assert _matched(GPT2, "mlp") == mlp
    assert _matched(GPT2, "c_proj,") == [name for name in GPT2.shapes if name.endswith("c_proj")]
    assert set(_matched(GPT2, "all-linear")) == set(attention) | set(mlp)


def test_attention_and_mlp_share_a_llama_out_between_them():
    attention, mlp = _matched(LLAMA, "attention"), _matched(LLAMA, "mlp")
    assert {name.split(".")[-1] for name in attention} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert {name.split(".")[-1] for name in mlp} == {"gate_proj", "up_proj", "down_proj"}
    assert sorted(attention + mlp) == sorted(LLAMA.shapes)


FAMILIES = {  # linear modules of one block by model family: attention, feed-forward
    "bert": (
        "attention.self.query attention.self.key attention.self.value attention.output.dense",
        "intermediate.dense output.dense",
    ),
    "opt": ("self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.out_proj", "fc1 fc2"),
    "neox": ("attention.query_key_value attention.dense", "mlp.dense_h_to_4h mlp.dense_4h_to_h"),
    "falcon": ("self_attention.query_key_value self_attention.dense", "mlp.dense_h_to_4h mlp.dense_4h_to_h"),
    "phi3": ("self_attn.qkv_proj self_attn.o_proj", "mlp.gate_up_proj mlp.down_proj"),
    "mixtral": ("self_attn.q_proj self_attn.o_proj", "block_sparse_moe.experts.0.w1 block_sparse_moe.experts.0.w2"),
    "own": ("attn.fc1 attn.fc_out", "ffn.fc1 feed_forward.w1"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_and_mlp_tell_a_block_apart_in_other_families(family):
    attention, mlp = ([f"layers.3.{name}" for name in names.split()] for names in FAMILIES[family])
    assert Attention().matches(attention + mlp) == attention
    assert MLP().matches(attention + mlp) == mlp


def test_all_linear_is_everything_but_the_head():
    assert _matched(LLAMA, "all-linear") == list(LLAMA.shapes)
    assert _matched(SEQUENTIAL, "all-linear") == list(SEQUENTIAL.shapes), "a plain module has no head to leave out"


def test_a_person_who_names_the_head_gets_it():
    assert _matched(LLAMA, "regex:^lm_head$") == ["lm_head"]
    assert _matched(LLAMA, "lm_head") == ["lm_head"]


def test_suffixes_are_whole_parts_of_a_name_in_the_models_order():
    assert _matched(LLAMA, "v_proj,q_proj") == [n for n in LLAMA.shapes if n.endswith(("q_proj", "v_proj"))]
    assert _matched(LLAMA, "1.mlp.up_proj,layers.0.mlp.up_proj") == [f"model.layers.{i}.mlp.up_proj" for i in (0, 1)]
    with pytest.raises(UsageError, match="unknown target module 'proj_'"):
        _matched(LLAMA, "proj_")


def test_a_target_that_matches_nothing_is_an_error_with_near_misses():
    """PEFT ignores a typo when another target matches."""
    model = LLAMA.make()
    with pytest.raises(UsageError, match="unknown target module 'q_porj'; did you mean 'q_proj'") as error:
        attach(model, lora(2, placement="q_porj,v_proj"))
    assert "Known: down_proj, embed_tokens, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj" in str(
        error.value
    )
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("where", ["attention", "mlp", "regex:query"])
def test_a_placement_that_matches_nothing_lists_what_there_is(where):
    shown = where.removeprefix("regex:")
    with pytest.raises(
        UsageError, match=f"placement .*'{shown}' matches no linear module of this Sequential; it has 0, 3"
    ):
        _matched(SEQUENTIAL, where)


def test_a_model_without_linear_modules_says_so():
    with pytest.raises(UsageError, match="it has none"):
        attach(nn.Sequential(nn.Conv1d(2, 2, 1)), lora(2))


def test_bad_patterns_and_empty_lists_are_refused_before_any_model():
    with pytest.raises(UsageError, match=r"placement pattern '\(q_proj' is not a regular expression: missing \)"):
        placement("regex:(q_proj")
    with pytest.raises(UsageError, match="'regex' needs a pattern"):
        placement("regex:")
    with pytest.raises(UsageError, match="'suffixes' needs at least one target"):
        placement(",")
    with pytest.raises(UsageError, match=r"targets must be a list of names, found one string; use \('q_proj',\)"):
        Suffixes("q_proj")


def test_words_become_placements_at_the_edge():
    assert placement("all-linear") == AllLinear()
    assert placement("attention") == Attention()
    assert placement("mlp") == MLP()
    assert placement("regex:a|b") == Regex("a|b")
    assert placement("q_proj, v_proj") == Suffixes(("q_proj", "v_proj"))
    assert placement(MLP()) == MLP()
    with pytest.raises(UsageError, match="unknown placement 'atention'; did you mean 'attention'") as error:
        placement("atention")
    assert (
        "Known: all-linear, attention, biases, block-outputs, experts, hybrid-places, input-embeddings, keys-values"
        in str(error.value)
    )


def test_a_list_of_targets_is_as_good_as_a_tuple():
    adapter = Adapter(placement=Suffixes(["q_proj"]))
    assert hash(adapter) == hash(Adapter(placement=Suffixes(("q_proj",))))


def test_modules_that_torch_reads_without_calling_are_left_out():
    """nn.MultiheadAttention uses its out_proj's weight directly; an adapter there would never run."""
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    assert list(linear_modules(layer)) == ["linear1", "linear2"]
    with pytest.raises(UsageError, match="it has linear1, linear2"):
        attach(layer, lora(2, placement="regex:out_proj"))


def test_a_second_adapter_is_placed_as_if_the_first_were_not_there():
    model = LLAMA.make()
    attach(model, lora(2), name="first")
    assert [m.module for m in attach(model, lora(2), name="second").matched] == list(LLAMA.shapes)


@dataclass(frozen=True)
class EveryOther(AllLinear):
    """A placement of the reader's own: one method."""

    def matches(self, names):
        return names[::2]


def test_a_placement_of_ones_own():
    handle = attach(LLAMA.make(), Adapter(rank=2, placement=EveryOther()))
    assert list(handle.layers) == list(LLAMA.shapes)[::2]


@pytest.mark.parametrize(
    ("kind", "attention", "mlp"),
    [
        ("llama", "q_proj k_proj v_proj o_proj", "gate_proj up_proj down_proj"),
        ("qwen2", "q_proj k_proj v_proj o_proj", "gate_proj up_proj down_proj"),
        ("gemma2", "q_proj k_proj v_proj o_proj", "gate_proj up_proj down_proj"),
        ("opt", "q_proj k_proj v_proj out_proj", "fc1 fc2"),
        ("gpt2", "c_attn c_proj", "c_fc c_proj"),
    ],
)
def test_every_shape_of_model_divides_into_attention_and_mlp(kind, attention, mlp):
    from rankwise.models import tiny_model

    model = tiny_model(kind=kind)
    found = {place.name: list(place.select(model)) for place in (AllLinear(), Attention(), MLP())}
    assert {path.rpartition(".")[2] for path in found["attention"]} == set(attention.split())
    assert {path.rpartition(".")[2] for path in found["mlp"]} == set(mlp.split())
    assert sorted(found["attention"] + found["mlp"]) == sorted(found["all-linear"])
    assert len(found["attention"]) == 2 * len(attention.split())
