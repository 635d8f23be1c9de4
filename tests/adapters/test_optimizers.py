"""LoRA+ (arXiv 2402.12354): which factor is in which group, at which rate; ratio 1 is LoRA to the last bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rankwise.adapters import Full, attach
from rankwise.adapters.optimizers import AdamW, LoRAPlus
from rankwise.engine.spec import TrainSpec
from rankwise.engine.train import make_optimizer
from rankwise.methods import dora, lora, lora_plus

from ..contract.models import GPT2, LLAMA
from ..contract.tools import loss


def _rates(optimizer, handle):
    """{name: (lr, weight decay)} as the optimizer will apply them."""
    names = {id(p): name for name, p in handle.trainable().items()}
    found = {names[id(p)]: (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(names), "each once"
    return found


def test_b_and_magnitudes_move_faster_and_vectors_do_not_decay():
    adapter = replace(dora(4), optimizer=LoRAPlus(8))
    handle = attach(LLAMA.make(), adapter)
    optimizer = make_optimizer(handle.trainable(), TrainSpec(adapter, lr=0.25, steps=1, weight_decay=0.5))
    for name, rate in _rates(optimizer, handle).items():
        assert rate == {"A": (0.25, 0.5), "B": (2.0, 0.5), "m": (2.0, 0.0)}[name.rpartition(".")[2]], name


def test_plain_methods_and_full_fine_tuning_have_one_rate():
    for target in (lora(4), dora(4)):
        handle = attach(LLAMA.make(), target)
        rates = _rates(make_optimizer(handle.trainable(), TrainSpec(target, lr=0.25, steps=1)), handle)
        assert set(rates.values()) == {(0.25, 0.0)}
    model = LLAMA.make()
    optimizer = make_optimizer(dict(model.named_parameters()), TrainSpec(Full(), lr=0.25, steps=1, weight_decay=0.5))
    norms = {id(p) for name, p in model.named_parameters() if "norm" in name}
    assert norms
    for group in optimizer.param_groups:
        assert group["lr"] == 0.25
        assert {id(p) in norms for p in group["params"]} == {group["weight_decay"] == 0.0}


@pytest.mark.parametrize("tiny", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_groups_are_pefts(tiny, tmp_path):
    """The authors' code and PEFT: B and one-dimensional tensors at ratio times the rate, A at the rate."""
    peft = pytest.importorskip("peft")
    from peft.optimizers import create_loraplus_optimizer

    config = peft.LoraConfig(
        r=4,
        use_dora=True,
        target_modules=sorted({path.rpartition(".")[2] for path in tiny.shapes}),
        fan_in_fan_out=tiny is GPT2,
    )
    theirs = peft.get_peft_model(tiny.make(), config)
    optimizer = create_loraplus_optimizer(theirs, torch.optim.AdamW, lr=0.1, loraplus_lr_ratio=16)
    names = {id(p): name for name, p in theirs.named_parameters()}
    expected = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            path, _, kind = names[id(p)].removeprefix("base_model.model.").partition(".lora_")
            expected[f"{path}.{ {'A': 'A', 'B': 'B', 'm': 'm'}[kind[0]] }"] = group["lr"]
    adapter = replace(dora(4), optimizer=LoRAPlus(16))
    handle = attach(tiny.make(), adapter)
    ours = _rates(make_optimizer(handle.trainable(), TrainSpec(adapter, lr=0.1, steps=1)), handle)
    assert {name: lr for name, (lr, _) in ours.items()} == expected


def _trained(adapter, steps=4):
    model = LLAMA.make(torch.float32)
    handle = attach(model, adapter)
    optimizer = make_optimizer(handle.trainable(), TrainSpec(adapter, lr=0.01, steps=steps, weight_decay=0.1))
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model, LLAMA).backward()
        optimizer.step()
    return handle.trainable()


def test_ratio_one_is_lora_bit_for_bit_and_sixteen_is_not():
    plain = _trained(lora(4))
    one, sixteen = _trained(lora_plus(4, ratio=1)), _trained(lora_plus(4))
    assert all(torch.equal(plain[name], p) for name, p in one.items())
    assert not any(torch.equal(plain[name], p) for name, p in sixteen.items() if name.endswith(".B"))


def test_the_first_step_of_b_is_ratio_times_as_long():
    """Adam's first step is the rate, whatever the gradient: A's is the same, B's sixteen times longer."""
    slow, fast = _trained(lora(4), steps=1), _trained(lora_plus(4), steps=1)
    for name, p in fast.items():
        if name.endswith(".A"):
            assert torch.equal(p, slow[name]), "no gradient yet; decay at A's own rate"
        else:
            torch.testing.assert_close(p, 16 * slow[name], rtol=1e-5, atol=0)


def test_a_plain_loop_gets_the_same_groups():
    handle = attach(LLAMA.make(), lora_plus(4, ratio=4))
    optimizer = torch.optim.SGD(handle.adapter.optimizer.groups(handle.trainable(), lr=0.5), lr=0.5)
    assert set(_rates(optimizer, handle).values()) == {(0.5, 0.0), (2.0, 0.0)}


def test_equal_ratios_are_one_choice():
    assert LoRAPlus(16) == LoRAPlus(16.0)
    assert str(LoRAPlus(16).to_dict()) == str(LoRAPlus(16.0).to_dict())
    assert AdamW().describe() == ""
