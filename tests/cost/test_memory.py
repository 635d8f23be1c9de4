"""The estimate against the engine: bytes that a real run holds."""

from dataclasses import replace

import pytest
import torch

import rankwise.methods as methods
from rankwise.adapters import Adapter, Full
from rankwise.cost import model_shape
from rankwise.cost.memory import PARTS, caps_logits, pass_bytes, probability_bytes, state_bytes
from rankwise.engine import Forward, TrainSpec
from rankwise.engine.batches import collate
from rankwise.engine.train import Run
from rankwise.models import load_base, tiny_model

from .conftest import adapters

TARGETS = {name: build() for name, build in adapters(rank=4).items()}
TARGETS |= {"lora-mlp": methods.lora(3, placement="mlp"), "full": Full()}


def held(tensors):
    return sum(t.numel() * t.element_size() for t in tensors)


def start(target, dtype, splits):
    base = load_base("tiny", dtype=dtype)
    return base, Run(base, Forward(base.model), TrainSpec(target, lr=1e-3, steps=2, batch=4, micro_batch=4), splits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.float32, marks=pytest.mark.slow)])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_state_equals_what_a_run_holds(target, dtype, tiny_splits):
    quiet = target  # what is held before events change it; owners of the base do not change what there is
    if isinstance(target, Adapter) and not any(event.owns_base for event in target.events):
        quiet = replace(target, events=())
    base, run = start(quiet, dtype, tiny_splits)
    gradients = []
    run.optimizer.register_step_pre_hook(lambda *_: gradients.append(held(p.grad for p in run.parameters)))
    run.train_step()
    run.train_step()
    moments = [t for s in run.optimizer.state.values() for name, t in s.items() if name != "step"]
    own = [p for name, p in base.model.named_parameters() if ".adapters." not in name]
    expected = {"frozen base": held(own), "gradients": gradients[-1], "optimizer": held(moments)}
    if isinstance(target, Full):
        working = list(run.trainee.model.parameters())
        ours = {id(p) for p in working}
        masters = held(p for p in run.parameters if id(p) not in ours)
        expected |= {"trained copy": held(working), "master weights": masters}
    else:
        slots = run.trainee.handle.slots.values()
        expected |= {
            "adapter": held(run.parameters),
            "frozen start": held(t for slot in slots for t in slot.buffers()),
        }
        if private := run.trainee.private:
            copies = [private.model.get_submodule(name).weight for name in private.masters]
            expected |= {"trained copy": held(copies), "master weights": held(private.masters.values())}
    run.trainee.close()
    assert state_bytes(base.model, target) == expected
    assert set(expected) <= set(PARTS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(
    "target",
    [
        methods.lora(4),
        methods.lora(4, placement="q_proj"),
        methods.olora(4),
        methods.lora_fa(4),
        methods.asymmetric_lora(4),
        Full(),
    ],
)
def test_activations_are_near_what_autograd_keeps(target, dtype, tiny_splits):
    base, run = start(target, dtype, tiny_splits)
    batch = collate([tiny_splits.train[0]] * 4, torch.device("cpu"))  # equal lengths: no padding
    parameters = {p.untyped_storage().data_ptr() for p in (*base.model.parameters(), *run.parameters)}
    parameters |= {p.untyped_storage().data_ptr() for p in run.trainee.forward.model.parameters()}
    saved = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters and tensor.shape[-1:] != (base.model.config.vocab_size,):
            saved[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = run.trainee.forward.nll(batch).sum()
    kept = sum(size for size, _ in saved.values())
    del loss
    run.trainee.close()
    size = torch.empty(0, dtype=dtype).element_size()
    rows = len(batch.next_ids)
    estimated = pass_bytes(base.model, model_shape(base.model), target, batch.ids.numel(), rows, size)
    squared = sum(length * length for length in batch.lengths)
    scores = probability_bytes(base.model, squared, size) if run.trainee.forward.layout == "flat" else 0
    assert 0.8 < (estimated["activations"] + scores) / kept < 1.2


def test_passes_by_hand():
    model = tiny_model(dtype=torch.bfloat16)  # width 64, q 64, kv 32, MLP 128, 2 layers, 260 or so tokens
    shape = model_shape(model)
    vocabulary = model.config.vocab_size
    outputs = 2 * (64 + 32 + 32 + 64 + 128 + 128 + 64)
    inputs = 2 * (64 + 64 + 64 + 128)  # q, k, v share one, gate and up share one
    norms = 5 * 64
    expected = {"activations": 10 * (2 * (outputs + inputs + 64) + 4 * norms), "logits": 3 * vocabulary * 10}
    assert pass_bytes(model, shape, Full(), 10, 3, 2) == expected


def test_nothing_is_kept_in_front_of_the_first_adapter():
    model = tiny_model()
    shape = model_shape(model)

    def activations(pattern):
        adapter = methods.lora(4, placement=f"regex:{pattern}")
        return pass_bytes(model, shape, adapter, 100, 10, 4)["activations"]

    assert activations(r"layers\.1\..*q_proj") < activations(r"layers\.0\..*q_proj")


def test_a_frozen_start_counts(tiny_base):
    plain, olora = (state_bytes(tiny_base.model, t) for t in (Adapter(rank=4), methods.olora(4)))
    assert plain["frozen start"] == 0
    assert olora["frozen start"] == olora["adapter"] == plain["adapter"]


def test_capped_logits_need_the_head_everywhere():
    from rankwise.cost import blueprint

    assert caps_logits(blueprint("Gemma-2-2B").model)
    assert not caps_logits(blueprint("GPT-2").model)
