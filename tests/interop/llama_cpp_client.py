"""llama.cpp in a process of its own, for it ends the process where an adapter does not fit.

python llama_cpp_client.py MODEL.gguf IDS.json OUT.npy [ADAPTER.gguf]: log-probabilities (tokens, vocabulary).
"""

import json
import sys

import numpy as np
import xllamacpp

model, ids, out, *adapter = sys.argv[1:]
with open(ids) as file:
    tokens = json.load(file)
settings = xllamacpp.CommonParams()
settings.model.path = model
settings.n_ctx = settings.n_batch = settings.n_ubatch = len(tokens) + 8
settings.n_gpu_layers = 0
settings.n_parallel = settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
settings.warmup = settings.fit_params = settings.use_jinja = settings.enable_chat_template = False
settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
if adapter:
    lora = xllamacpp.CommonAdapterLoraInfo()
    lora.path, lora.scale = adapter[0], 1.0
    settings.lora_adapters = [lora]
server = xllamacpp.Server(settings)
rows = []
for end in range(1, len(tokens) + 1):
    # The token it then writes is forced (65 is a letter), for one that it cannot write comes without probabilities.
    asked = {"prompt": tokens[:end], "n_predict": 1, "n_probs": 10**6, "logit_bias": [[65, 1000]], "temperature": 0}
    answer = server.handle_completions(asked)
    answer = json.loads(answer) if isinstance(answer, str) else answer
    (place,) = answer["choices"][0]["logprobs"]["content"]
    found = {entry["id"]: entry["logprob"] for entry in place["top_logprobs"]}
    rows.append([found[token] for token in range(len(found))])
np.save(out, np.array(rows, dtype=np.float64))
