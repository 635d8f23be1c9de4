"""Run by the Python that has llama-cpp-python: logits of a GGUF model, with an adapter if one is given.

python llama_cpp_client.py MODEL.gguf IDS.json OUT.npy [ADAPTER.gguf]
"""

import json
import sys

import numpy as np
from llama_cpp import Llama

model, ids, out, *adapter = sys.argv[1:]
with open(ids) as file:
    tokens = json.load(file)
llama = Llama(
    model,
    lora_path=adapter[0] if adapter else None,
    logits_all=True,
    n_ctx=len(tokens) + 8,
    n_batch=len(tokens) + 8,
    n_threads=1,
    n_threads_batch=1,
    verbose=False,
)
llama.eval(tokens)
np.save(out, np.array(llama.scores[: len(tokens)], dtype=np.float32))
