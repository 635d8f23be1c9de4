"""Which options of PEFT's ``adapter_config.json`` are read, which do not matter here, and what is said of any other.

An option that is neither must have its default: PEFT gets new ones with every version, and an adapter that is loaded
without one of them computes something else without a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rankwise.errors import UsageError
from rankwise.reading import Options

# Read by peft_config.py.
READ = frozenset(
    (
        *("peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "bias"),
        *("rank_pattern", "alpha_pattern", "init_lora_weights", "modules_to_save", "ensure_weight_tying"),
        *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
    )
)
# They say where an adapter comes from, how it was started, trained or run; not what it computes.
NO_MATTER = frozenset(
    (
        *("auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode", "runtime_config"),
        *("fan_in_fan_out", "megatron_core", "qalora_group_size", "loftq_config", "eva_config", "corda_config"),
        *("lora_ga_config", "lorap_lr_ratio", "lorap_emb_lr", "lora_dtype"),
    )
)
# What the known ones among all others do, for the message.
MEANINGS = {
    "alora_invocation_tokens": "the adapter acts only after certain tokens",
    "arrow_config": "a router chooses among adapters",
    "kasa_config": "the update has singular values of its own",
    "layer_replication": "layers of the base are used several times",
    "lora_bias": "B has a bias",
    "megatron_config": "the base is a Megatron model",
    "monteclora_config": "factors are sampled",
    "target_parameters": "tensors are adapted that are no module's weight, such as experts",
    "trainable_token_indices": "rows of the embedding were trained",
    "use_bdlora": "factors are block-diagonal",
    "use_qalora": "inputs are pooled",
    "velora_config": "activations were compressed while training",
}
_HEADS = {
    "SEQ_CLS": "sequence classification",
    "TOKEN_CLS": "token classification",
    "QUESTION_ANS": "extractive question answering",
}


def check_options(config: dict[str, Any], folder: Path) -> None:
    """Refuse an option that is set and that we do not read.

    Raises:
        UsageError: naming the option or the task.
    """
    task = Options(config, f"{folder}/adapter_config.json").text("task_type")
    if task in _HEADS:
        raise UsageError(
            f"{folder} was trained for {_HEADS[task]} (task_type {task}): it belongs to a head that a causal language "
            "model does not have; use it with PEFT, or give an adapter of task_type CAUSAL_LM."
        )
    for option, value in sorted(config.items()):
        if option in READ or option in NO_MATTER or _empty(value):
            continue
        if option in MEANINGS:
            raise UsageError(
                f"{folder} uses {option}={value!r} ({MEANINGS[option]}), which cannot be loaded here; merge it with "
                "PEFT (merge_and_unload) and use the merged model."
            )
        raise UsageError(
            f"{folder}/adapter_config.json has {option}={value!r}, an option that is not known here and may change "
            "what the adapter computes; if it does not, remove it from the file, else merge with PEFT "
            "(merge_and_unload)."
        )


def _empty(value: Any) -> bool:
    """Return whether a value switches nothing on, which is every PEFT option's default but for those above."""
    return value is None or value is False or value in ("", [], {})
