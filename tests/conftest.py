"""Shared by every suite: one torch thread a worker (two workers run at once), no network, our own cache folder."""

import os
import shutil

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # as the command line sets it
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_base():
    """A random tiny Llama in float32 with a byte tokenizer."""
    from rankwise.models import load_base

    return load_base("tiny", dtype=torch.float32)


@pytest.fixture(scope="session")
def tiny_splits(tiny_base):
    """Word problems in bytes."""
    from rankwise.data import Limits, load_data

    return load_data("word-problems", tiny_base.tokenizer, limits=Limits(40, 8, 12))


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    """The folder of a tiny model; never to be written, see ``model_folder``."""
    from rankwise.models import byte_tokenizer, tiny_model

    folder = tmp_path_factory.mktemp("model")
    tiny_model(7).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def model_folder(saved_model, tmp_path):
    """A copy of that folder to break."""
    return shutil.copytree(saved_model, tmp_path / "model")


def pytest_collection_finish(session):
    """What is loaded by now stays: full garbage collections need not walk through it again and again."""
    import gc

    gc.collect()
    gc.freeze()
