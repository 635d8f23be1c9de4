"""A study's arm as configurations to paste into TRL, PEFT, Axolotl, Unsloth and LLaMA-Factory.

Every file opens with the verdict. What a tool cannot express it says in a comment, beside the nearest thing the tool
can do: never a silently different recipe. Keys were read in peft 0.21 and trl 1.16 (installed here), Axolotl's
``utils/schemas``, LLaMA-Factory's ``hparams`` and Unsloth's ``get_peft_model`` (their repositories, 2026).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rankwise.files import write_text
from rankwise.studies.config import StudyConfig
from rankwise.studies.recipes.terms import PEFT_INITS, Recipe, lora_terms, make_recipe, peft_arguments, trl_arguments
from rankwise.studies.recipes.text import (
    axolotl_data,
    call_text,
    python_text,
    rows_text,
    system_note,
    trainer_text,
    yaml_text,
)
from rankwise.studies.results.schema import Results

UNSLOTH_INITS = ("kaiming", "gaussian")
UNSLOTH_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FACTORY_INITS = ("kaiming", "pissa")


def write_recipes(
    config: StudyConfig, results: Results, name: str, folder: Path, targets: list[str] | str
) -> list[Path]:
    """Write one configuration per tool for arm ``name`` into ``folder`` and return the files.

    Args:
        results: the ``results`` part of the study's document.
        targets: ``target_modules`` of the arm's ``adapter_config.json`` (the names of the model that was studied).

    Raises:
        UsageError: an unknown arm, full fine-tuning, or an arm without a learning rate.
    """
    recipe = make_recipe(config, results, name, targets)
    files = []
    for file, render in TOOLS.items():
        write_text(folder / file, render(recipe))
        files.append(folder / file)
    return files


def peft_file(recipe: Recipe) -> str:
    """PEFT: the configuration alone."""
    arguments, lora = peft_arguments(recipe)
    if lora.plus is not None:
        lora.notes.append(f"LoRA+ is an optimizer: peft.optimizers.create_loraplus_optimizer, ratio {lora.plus:g}.")
    return python_text(recipe, lora, "from peft import LoraConfig", f"config = {call_text('LoraConfig', arguments)}")


def trl_file(recipe: Recipe) -> str:
    """TRL: a whole script."""
    arguments, lora = peft_arguments(recipe)
    training = {**trl_arguments(recipe), "model_init_kwargs": {"dtype": recipe.dtype}}
    imports = "from datasets import load_dataset\nfrom peft import LoraConfig\nfrom trl import SFTConfig, SFTTrainer"
    trainer = (
        "trainer = SFTTrainer(\n"
        f"    model={recipe.model!r},\n"
        f"    args={call_text('SFTConfig', training, 4)},\n"
        "    train_dataset=rows,\n"
        f"    peft_config={call_text('LoraConfig', arguments, 4)},\n"
        ")"
    )
    return python_text(recipe, lora, imports, rows_text(recipe), trainer_text(recipe, lora, trainer))


def unsloth_file(recipe: Recipe) -> str:
    """Unsloth: its loader and adapter, TRL's trainer."""
    lora = lora_terms(recipe.adapter)
    init = PEFT_INITS[lora.init_among(UNSLOTH_INITS, "Unsloth")]
    alpha = lora.whole_alpha()
    targets = [name for name in UNSLOTH_TARGETS if any(target.split(".")[-1] == name for target in recipe.targets)]
    if set(targets) != set(recipe.targets):
        studied = ", ".join(recipe.targets)
        lora.limits.append(f"Unsloth finds modules by the names below only; the study adapted {studied}.")
    if lora.dora:
        lora.notes.append("use_dora is handed on to PEFT; Unsloth's fast kernels do not cover it.")
    load = {"model_name": recipe.model, "max_seq_length": recipe.max_length, "load_in_4bit": False}
    arguments = {
        "r": recipe.adapter.rank,
        "target_modules": targets,
        "lora_alpha": alpha,
        "lora_dropout": recipe.adapter.dropout,
        "bias": "none",
        "use_gradient_checkpointing": False,
        "random_state": recipe.spec.seed,
        "use_rslora": lora.rslora,
        "init_lora_weights": init,
        **({"use_dora": True} if lora.dora else {}),
    }
    training = {**trl_arguments(recipe), "bf16": recipe.dtype == "bfloat16"}
    imports = (
        "from unsloth import FastLanguageModel  # first: it patches the others\n"
        "from datasets import load_dataset\nfrom trl import SFTConfig, SFTTrainer"
    )
    model = (
        f"model, tokenizer = {call_text('FastLanguageModel.from_pretrained', load)}\n"
        f"model = {call_text('FastLanguageModel.get_peft_model', arguments, first='model')}"
    )
    trainer = (
        "trainer = SFTTrainer(\n"
        "    model=model,\n"
        "    processing_class=tokenizer,\n"
        f"    args={call_text('SFTConfig', training, 4)},\n"
        "    train_dataset=rows,\n"
        ")"
    )
    return python_text(recipe, lora, imports, model, rows_text(recipe), trainer_text(recipe, lora, trainer))


def axolotl_file(recipe: Recipe) -> str:
    """Axolotl: ``axolotl train axolotl.yaml``."""
    spec, lora = recipe.spec, lora_terms(recipe.adapter)
    lora.note_base_edit()
    values: dict[str, Any] = {
        "base_model": recipe.model,
        "adapter": "lora",
        "lora_r": recipe.adapter.rank,
        "lora_alpha": lora.whole_alpha(),
        "lora_dropout": recipe.adapter.dropout,
        "lora_target_modules": list(recipe.targets),
        "peft_use_rslora": lora.rslora,
        "peft_use_dora": lora.dora,
        "peft_init_lora_weights": PEFT_INITS[lora.init],
        **({"loraplus_lr_ratio": lora.plus} if lora.plus is not None else {}),
        "chat_template": "tokenizer_default",
        "datasets": [{**axolotl_data(recipe.data), "type": "chat_template", "field_messages": "messages"}],
        "train_on_inputs": False,
        "sequence_len": recipe.max_length,
        "sample_packing": False,
        "micro_batch_size": recipe.micro_batch,
        "gradient_accumulation_steps": spec.batch // recipe.micro_batch,
        "max_steps": spec.steps,
        "optimizer": "adamw_torch_fused",
        "learning_rate": spec.lr,
        "lr_scheduler": spec.schedule,
        "warmup_steps": spec.warmup,
        "weight_decay": spec.weight_decay,
        "adam_beta1": spec.betas[0],
        "adam_beta2": spec.betas[1],
        "adam_epsilon": spec.eps,
        "max_grad_norm": spec.clip,
        "bf16": recipe.dtype == "bfloat16",
        "gradient_checkpointing": False,
        "seed": spec.seed,
        "output_dir": "adapter",
    }
    notes = ["Rows must hold a conversation under `messages`; convert other columns first.", *system_note(recipe)]
    return yaml_text(recipe, lora, notes, values)


def factory_file(recipe: Recipe) -> str:
    """LLaMA-Factory: ``llamafactory-cli train llama_factory.yaml``."""
    spec, lora = recipe.spec, lora_terms(recipe.adapter)
    init = lora.init_among(FACTORY_INITS, "LLaMA-Factory")
    values: dict[str, Any] = {
        "model_name_or_path": recipe.model,
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": recipe.adapter.rank,
        "lora_alpha": lora.whole_alpha(),
        "lora_dropout": recipe.adapter.dropout,
        "lora_target": ",".join(recipe.targets),
        "use_rslora": lora.rslora,
        "use_dora": lora.dora,
        **({"loraplus_lr_ratio": lora.plus} if lora.plus is not None else {}),
        **({"pissa_init": True, "pissa_iter": -1, "pissa_convert": True} if init == "pissa" else {}),
        "dataset": "my_data",
        "dataset_dir": ".",
        "template": "default",
        "cutoff_len": recipe.max_length,
        "per_device_train_batch_size": recipe.micro_batch,
        "gradient_accumulation_steps": spec.batch // recipe.micro_batch,
        "max_steps": spec.steps,
        "optim": "adamw_torch_fused",
        "learning_rate": spec.lr,
        "lr_scheduler_type": spec.schedule,
        "warmup_steps": spec.warmup,
        "weight_decay": spec.weight_decay,
        "adam_beta1": spec.betas[0],
        "adam_beta2": spec.betas[1],
        "adam_epsilon": spec.eps,
        "max_grad_norm": spec.clip,
        "bf16": recipe.dtype == "bfloat16",
        "disable_gradient_checkpointing": True,
        "seed": spec.seed,
        "output_dir": "adapter",
        "report_to": "none",
    }
    notes = [
        f"dataset: describe {recipe.data!r} as my_data in dataset_info.json, in this folder.",
        "template: put the name of your model's chat template in place of default.",
        *system_note(recipe),
    ]
    return yaml_text(recipe, lora, notes, values)


TOOLS: dict[str, Callable[[Recipe], str]] = {
    # Not trl.py or peft.py: run from this folder they would hide the packages.
    "train_trl.py": trl_file,
    "peft_config.py": peft_file,
    "axolotl.yaml": axolotl_file,
    "train_unsloth.py": unsloth_file,
    "llama_factory.yaml": factory_file,
}
