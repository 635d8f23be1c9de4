"""How recipe files are written: comments, calls, YAML, and code that loads the data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rankwise.data.hub import ID as HUB_DATA
from rankwise.studies.recipes.terms import Lora, Recipe, is_local


def python_text(recipe: Recipe, lora: Lora, *blocks: str) -> str:
    """A Python file: what was found and what differs as comments, then the blocks."""
    return "\n\n".join([_comments([*recipe.heading, *_marked(lora)]), *blocks]) + "\n"


def yaml_text(recipe: Recipe, lora: Lora, notes: list[str], values: dict[str, Any]) -> str:
    """A YAML file: what was found, notes and what differs as comments, then the values."""
    body = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return _comments([*recipe.heading, *notes, *_marked(lora)]) + "\n" + body


class _Dumper(yaml.SafeDumper):
    """Writes floats as 1.0e-4: YAML 1.1 reads 1e-4 as text."""


def _float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(float, _float)


def _marked(lora: Lora) -> list[str]:
    return [*(f"NOT THE SAME: {limit}" for limit in lora.limits), *(f"Mind: {note}" for note in lora.notes)]


def _comments(lines: Sequence[str]) -> str:
    return "\n".join(f"# {' '.join(line.split())}" for line in lines)


def call_text(function: str, arguments: dict[str, Any], indent: int = 0, *, first: str = "") -> str:
    """A call with one keyword argument a line, after an optional positional one."""
    inner = " " * (indent + 4)
    lines = [f"{inner}{first},"] if first else []
    lines += [f"{inner}{key}={value!r}," for key, value in arguments.items()]
    return "\n".join([f"{function}(", *lines, " " * indent + ")"])


def trainer_text(recipe: Recipe, lora: Lora, trainer: str) -> str:
    """TRL's trainer, LoRA+'s optimizer where the study used it, and the run."""
    blocks = [trainer]
    if lora.plus is not None:
        spec = recipe.spec
        options = {
            "lr": spec.lr,
            "loraplus_lr_ratio": lora.plus,
            "betas": spec.betas,
            "eps": spec.eps,
            "weight_decay": spec.weight_decay,
            "loraplus_weight_decay": spec.weight_decay,
        }
        blocks.append(
            "import torch\nfrom peft.optimizers import create_loraplus_optimizer\n\ntrainer.optimizer = "
            + call_text("create_loraplus_optimizer", options, first="trainer.model, torch.optim.AdamW")
        )
    return "\n\n".join([*blocks, "trainer.train()\ntrainer.save_model()"])


def rows_text(recipe: Recipe) -> str:
    """Code that loads the data and turns a row into prompt and completion, with the loss on the completion."""
    match = HUB_DATA.fullmatch(recipe.data)
    if is_local(recipe.data) and not Path(recipe.data).is_dir():
        path = Path(recipe.data)
        kind = {".csv": "csv", ".parquet": "parquet"}.get(path.suffix, "json")
        load = f'load_dataset("{kind}", data_files={str(path)!r}, split="train")'
    elif is_local(recipe.data):
        load = f'load_dataset({recipe.data!r}, split="train")'
    elif match:
        parts = [repr(part) for part in (match["name"], match["config"]) if part]
        load = f'load_dataset({", ".join(parts)}, split="train")'
    else:
        load = 'load_dataset("json", data_files="train.jsonl", split="train")'
    system = [{"role": "system", "content": recipe.system}] if recipe.system else []
    return (
        f"SYSTEM = {system!r}\n"
        'COLUMNS = (("prompt", "completion"), ("question", "answer"), ("instruction", "output"))  # add yours\n\n\n'
        "def as_chat(row):\n"
        '    if "messages" in row:\n'
        '        return {"prompt": SYSTEM + row["messages"][:-1], "completion": row["messages"][-1:]}\n'
        "    for asked, answered in COLUMNS:\n"
        "        if asked in row and answered in row:\n"
        '            prompt = [*SYSTEM, {"role": "user", "content": row[asked]}]\n'
        '            return {"prompt": prompt, "completion": [{"role": "assistant", "content": row[answered]}]}\n'
        "    raise SystemExit(f\"say in COLUMNS what to ask and to answer; the rows have {', '.join(row)}\")\n\n\n"
        f"rows = {load}\n"
        "rows = rows.map(as_chat, remove_columns=rows.column_names)"
    )


def axolotl_data(data: str) -> dict[str, str]:
    """Where Axolotl finds the data."""
    match = HUB_DATA.fullmatch(data)
    if match and not is_local(data):
        return {"path": match["name"], **({"name": match["config"]} if match["config"] else {}), "split": "train"}
    path = Path(data) if is_local(data) else Path("train.jsonl")
    kind = {".csv": "csv", ".parquet": "parquet"}.get(path.suffix, "json")
    return {"path": str(path), **({} if path.is_dir() else {"ds_type": kind}), "split": "train"}


def system_note(recipe: Recipe) -> list[str]:
    """The system message, for tools that only take it inside the data."""
    return [f"The study put this system message before every conversation: {recipe.system}"] if recipe.system else []
