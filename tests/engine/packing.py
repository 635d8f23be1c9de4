"""What the pack's tests share: a mix of runs, an event that fingerprints gradients, runs alone beside runs packed."""

import hashlib
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from safetensors.torch import load_file

from rankwise.adapters.events import Event
from rankwise.engine import PackJob, TrainSpec, train, train_pack
from rankwise.methods import dora, lora, lora_plus, olora, pissa, rslora


@dataclass(frozen=True)
class Fingerprint(Event):
    """Records a hash of every gradient before clipping, at every step."""

    name: ClassVar[str] = "fingerprint"

    def after_backward(self, ctx):
        digest = hashlib.sha256()
        for module in ctx.modules:
            for gradient in ctx.gradients(module).values():
                digest.update(gradient.contiguous().numpy().tobytes())
        with ctx.firing(measure=False) as note:
            note["gradients"] = digest.hexdigest()


def spec(target, **changes):
    settings = {"lr": 1e-2, "steps": 6, "batch": 4, "micro_batch": 2, "eval_steps": (3,), "seed": 1, **changes}
    return TrainSpec(replace(target, events=(*target.events, Fingerprint())), **settings)


# 40 training examples: windows of 7 and 12 leave a shorter last one in every epoch; the clip is far below the norms.
MIX = {
    "lora": spec(lora(rank=4)),
    "rslora": spec(rslora(rank=8, placement="attention"), batch=7, micro_batch=4, steps=8, schedule="cosine"),
    "olora": spec(olora(rank=2), lr=3e-3, batch=8, micro_batch=3, steps=4, eval_steps=(1, 2, 3), clip=0.05),
    "pissa": spec(pissa(rank=4, placement="mlp"), schedule="linear", warmup=3, seed=5),
    "dora": spec(dora(rank=3), batch=3, micro_batch=1, eval_steps=(2, 4), weight_decay=0.1),
    "lora_plus": spec(lora_plus(rank=5, dropout=0.2), lr=2e-3, clip=0.05),
    "short": spec(lora(rank=16, dropout=0.1), lr=3e-2, batch=12, micro_batch=12, steps=2, eval_steps=()),
    "diverges": spec(lora(rank=4), lr=1e30, clip=0.0),
}


def weights(folder):
    return load_file(folder / "adapter_model.safetensors") if folder.exists() else {}


def alone(base, splits, specs, folder, **keywords):
    """Train each spec by itself; return results and saved tensors by name."""
    results = {n: train(base, s, splits, test=True, save_to=folder / n, **keywords) for n, s in specs.items()}
    return results, {n: weights(folder / n) for n in specs}


def packed(base, splits, specs, folder, **keywords):
    """Train the same specs in one pack."""
    jobs = [PackJob(s, test=True, save_to=folder / n) for n, s in specs.items()]
    results = dict(zip(specs, train_pack(base, jobs, splits, **keywords), strict=True))
    return results, {n: weights(folder / n) for n in specs}


def same(one, two, names=None):
    """Assert the bits of results (losses, scores, gradient hashes) and of saved tensors; returns nothing."""
    (results, tensors), (others, their) = one, two
    for name in names or results:
        assert results[name] == others[name], name
        assert tensors[name].keys() == their[name].keys(), name
        for key, value in tensors[name].items():
            assert torch.equal(value, their[name][key]), (name, key)


def resumed_is_undisturbed(base, splits, run, folder):
    """Assert that a run stopped at all scored steps but the last has the bits of one never stopped; return it."""
    whole = train(base, run, splits, test=True, save_to=folder / "whole")
    for until in run.eval_steps[:-1]:
        part = train(base, run, splits, test=True, folder=folder / "run", until=until)
        assert part.events == [e for e in whole.events if e["step"] <= until]
    again = train(base, run, splits, test=True, folder=folder / "run", save_to=folder / "again")
    assert again == whole
    one, two = weights(folder / "whole"), weights(folder / "again")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    return whole
