"""Tiny bases with a tokenizer, live and as folders."""

from __future__ import annotations

import hashlib
from types import MappingProxyType

import torch

from rankwise.adapters import save
from rankwise.integrations.live import Live
from rankwise.models import Base, byte_tokenizer, fingerprint, tiny_model

from ..contract.tools import attach


class Letters:
    """A tokenizer of 32 tokens, none of which ends anything."""

    is_fast = False
    eos_token_id = None
    all_special_ids = ()
    added_tokens_decoder = MappingProxyType({})

    def convert_ids_to_tokens(self, ids):
        return [str(i) for i in ids]

    def __call__(self, text, **options):
        return {"input_ids": [ord(letter) % 32 for letter in text]}


def live(tiny, adapter, folder, trained, dtype=torch.float64):
    """A contract base with a trained adapter on it."""
    model = tiny.make(dtype)
    handle = attach(model, adapter)
    trained(model, tiny, handle)
    return Live(Base(model, Letters(), tiny.name, "f" * 64), handle, tiny.name, folder, True)


def moved(model, adapter, folder, move=0.2):
    """A model with a byte tokenizer and an adapter whose factors have moved."""
    handle = attach(model, adapter)
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in handle.trainable().values():
            p.add_(move * torch.randn(p.shape, generator=stream))
    return Live(Base(model, byte_tokenizer(), "tiny", "f" * 64), handle, "tiny", folder, True)


def base_folder(folder, kind="llama", *, tied=True, shard="60KB", dtype=torch.float32, seed=0):
    """A tiny model as files, in several shards."""
    model = tiny_model(seed, kind, tied=tied, dtype=dtype)
    model.save_pretrained(folder, max_shard_size=shard)
    byte_tokenizer().save_pretrained(folder)
    return model


def adapter_folder(model, folder, adapter, name, *, move=0.05):
    """An adapter of ``model`` whose factors have moved, saved with the base's fingerprint."""
    own = fingerprint(model)
    handle = attach(model, adapter)
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in handle.trainable().values():
            p.add_(move * torch.randn(p.shape, generator=stream))
    save(handle, folder, base_model=str(name), base_fingerprint=own)
    handle.detach()
    return folder


def tree(folder):
    """Every file below ``folder`` with its hash."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
