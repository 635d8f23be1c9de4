"""LoRA's options for fused layers and for mixtures of experts."""

from __future__ import annotations

import pytest
import torch

from rankwise import methods
from rankwise.errors import UsageError
from rankwise.methods import build, lora

from ..adapters.test_experts import MIXTRAL
from ..contract.models import GPT2
from ..contract.tools import attach, move


def test_slices_of_a_fused_layer_get_a_pair_each_and_the_others_keep_the_base():
    handle = attach(GPT2.make(), build("lora", rank=2, placement="c_attn", slices="q,v"))
    move(handle)
    for path in handle.layers:
        q, k, v = handle.delta(path).chunk(3)
        assert q.abs().max() > 0
        assert v.abs().max() > 0
        assert torch.equal(k, torch.zeros_like(k))
    assert lora(2, placement="qkv_proj", slices="k", slice_sizes=[8, 4, 4]).parametrization.rows(16) == (8, 4, 4)


def test_the_rank_of_experts_is_whole_or_divided():
    counts = []
    for how in ("whole", "divided"):
        handle = attach(MIXTRAL.make(), build("lora", rank=4, placement="experts", experts=how))
        counts.append(sum(p.numel() for p in handle.trainable().values()))
    assert counts[0] == 2 * counts[1], "two experts serve a token"


def test_an_adapter_without_them_is_what_it_was():
    assert lora(4).to_dict()["parametrization"] == {"name": "low-rank"}
    assert lora(4, placement="experts").to_dict()["parametrization"] == {"name": "expert-low-rank", "divided": False}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experts": "divided"}, "experts='divided' is about mixtures of experts; it needs placement 'experts'"),
        ({"experts": "half", "placement": "experts"}, "experts must be 'whole' or 'divided', found 'half'"),
        ({"slices": "q,v"}, "slices='q,v' are parts of fused layers; name those with placement"),
        ({"slices": "q,x", "placement": "c_attn"}, "slice 'x'"),
        ({"slice_sizes": (4, 4, 4), "placement": "c_attn"}, "slice_sizes is about slices; say which"),
        ({"slices": "q", "slice_sizes": (4, 4), "placement": "c_attn"}, "sizes of 'slices' must give the rows"),
        ({"slices": "q", "placement": "experts"}, "slices='q' are parts of fused layers"),
    ],
)
def test_an_option_without_its_place_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        methods.lora(**options)


@pytest.mark.parametrize("name", ["lora_plus", "delta_lora", "prilora"])
def test_defaults_that_nobody_verified_are_said_to_be_so(name):
    assert "not verified" in methods.card(name).fidelity
