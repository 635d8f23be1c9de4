"""The start is a function of the seed and the module's name: not of order, neighbours, placement or global state."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from torch import nn

from rankwise.adapters import stream_seed
from rankwise.methods import lora, placement, rslora

from .models import LLAMA
from .table import ROWS
from .tools import attach, every_model, every_row


def _same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@every_model
@every_row
def test_same_seed_same_bits_other_seed_other_start(row, tiny):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = attach(tiny.make(), row.adapter, seed=5).trainable()
    assert torch.equal(torch.get_rng_state(), state), "the global stream is not touched"
    torch.manual_seed(123)
    again = attach(tiny.make(), row.adapter, seed=5).trainable()
    other = attach(tiny.make(), row.adapter, seed=6).trainable()
    assert _same(first, again)
    assert _same(first, other) != row.random


@every_row
def test_start_does_not_depend_on_placement_or_on_an_earlier_adapter(row):
    everywhere = attach(LLAMA.make(), row.adapter, seed=5).trainable()
    model = LLAMA.make()
    attach(model, lora(2), seed=9, name="earlier")
    some = attach(model, _placed(row.adapter, "regex:layers.1.*(v|down)_proj"), seed=5).trainable()
    some = {name: p for name, p in some.items() if not name.startswith("*.")}  # what they share depends on who shares
    assert {name.rpartition(".")[0] for name in some} <= {
        f"model.layers.1.{m}" for m in ("self_attn.v_proj", "mlp.down_proj")
    }
    assert all(torch.equal(value, everywhere[name]) for name, value in some.items())


def _placed(adapter, where):
    return replace(adapter, placement=placement(where))


@every_row
def test_start_does_not_depend_on_the_order_of_modules(row):
    if row.data:
        return  # another order of modules shows them other inputs
    torch.manual_seed(0)
    a, b = nn.Linear(12, 8).double(), nn.Linear(8, 16).double()
    one = attach(nn.Sequential(OrderedDict(a=a, b=b)), row.adapter)
    first = {name: p.detach().clone() for name, p in one.trainable().items()}
    one.detach()
    two = attach(nn.Sequential(OrderedDict(b=b, a=a)), row.adapter)
    assert all(torch.equal(first[name], p) for name, p in two.trainable().items())


def test_modules_of_one_shape_do_not_share_a_start():
    factors = attach(LLAMA.make(), lora(4)).trainable()
    gate, up = (factors[f"model.layers.0.mlp.{name}_proj.A"] for name in ("gate", "up"))
    assert not torch.equal(gate, up)


def test_scaling_does_not_change_the_draw():
    one, two = attach(LLAMA.make(), lora(4)).trainable(), attach(LLAMA.make(), rslora(4)).trainable()
    assert _same(one, two)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_factors_are_float32_over_a_narrow_base(dtype):
    for row in (r for r in ROWS if "llama" in r.bases):
        handle = attach(LLAMA.make(dtype), row.adapter)
        assert {p.dtype for p in handle.trainable().values()} == {torch.float32}
        assert {t.dtype for slot in handle.slots.values() for t in slot.start.values()} <= {torch.float32}
        assert all(p.is_contiguous() for p in handle.trainable().values())


def test_stream_seed_golden_numbers():
    """Frozen: a change moves every adapter ever started from a seed."""
    assert stream_seed(0, "init", "a") == stream_seed(0, "init", "a")
    assert len({stream_seed(s, what, path) for s in range(9) for what in ("init", "dropout") for path in "abc"}) == 54
    assert 0 <= stream_seed(0, "dropout") < 2**63
