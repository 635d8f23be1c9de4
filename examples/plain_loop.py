"""Adapters in a plain PyTorch loop: on any nn.Module, and on a language model.

python examples/plain_loop.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

import rankwise as rw
from rankwise.models.byte_tokenizer import byte_tokenizer
from rankwise.models.tiny import tiny_model

output = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/plain-loop")
torch.manual_seed(0)

# Any module: a network whose target differs from it by an update of rank 2.
network = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 8))
x = torch.randn(256, 32)
with torch.no_grad():
    target = network(x) + network[1](network[0](x)) @ torch.randn(64, 2) @ torch.randn(2, 8) / 8

handle = rw.attach(network, rw.methods.lora(rank=2, placement="regex:^2$"), seed=0)
print(handle.matched)
optimizer = torch.optim.AdamW(handle.trainable().values(), lr=1e-2, weight_decay=0.0)
losses = []
for _ in range(300):
    loss = mse_loss(network(x), target)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())
print(f"any module: loss {losses[0]:.4f} -> {losses[-1]:.6f} with an update of rank 2")
assert losses[-1] < losses[0] / 100

# A language model: the same four lines, then save, load, merge.
model, tokenizer = tiny_model(), byte_tokenizer()
handle = rw.attach(model, rw.methods.rslora(rank=8), seed=0)
texts = [f"{a} times {b} is {a * b}." for a in range(2, 6) for b in range(2, 6)]
batch = tokenizer(texts, return_tensors="pt", padding=True)
ids, mask = batch["input_ids"], batch["attention_mask"]
labels = ids.masked_fill(mask == 0, -100)

optimizer = torch.optim.AdamW(handle.trainable().values(), lr=1e-2, weight_decay=0.0)
losses = []
for _ in range(40):
    logits = model(input_ids=ids, attention_mask=mask).logits
    loss = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())
print(f"language model: loss {losses[0]:.3f} -> {losses[-1]:.3f}")
assert losses[-1] < losses[0] / 2

rw.save(handle, output)
loaded_model = tiny_model()
loaded = rw.load(loaded_model, output)
with torch.no_grad():
    logits = model(input_ids=ids, attention_mask=mask).logits
    assert torch.equal(loaded_model(input_ids=ids, attention_mask=mask).logits, logits)
    loaded.merge()
    difference = (loaded_model(input_ids=ids, attention_mask=mask).logits - logits).abs().max().item()
print(f"saved in {output}; loaded: the same logits; merged: they differ by {difference:.1e}")
