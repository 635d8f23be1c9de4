"""A model known by its config alone: every module with its shape, on the ``meta`` device, with no weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rankwise.cost.architectures import ARCHITECTURES, known
from rankwise.errors import UsageError, unknown
from rankwise.models.config_limits import check_config_sizes
from rankwise.reading import read_object

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_DEFAULT = "SmolLM2-135M"
_HINT = "For any other model give its config.json, or the folder that holds it: --model path/to/config.json"


@dataclass(frozen=True, eq=False)
class Blueprint:
    """A causal language model without weights.

    Attributes:
        model: on the ``meta`` device; counting needs no more.
        name: of the model in tables.
        notes: sentences that belong beside the numbers.
    """

    model: nn.Module
    name: str
    notes: tuple[str, ...] = ()


def blueprint(name: str | None = None, dtype: torch.dtype = torch.bfloat16) -> Blueprint:
    """Build the modules of a model from its config.

    Args:
        name: None or ``default``, ``tiny``, a config.json, a folder with one, a name from
            :data:`~rankwise.cost.architectures.ARCHITECTURES`, or a hub id ``owner/name``.
        dtype: of the parameters.

    Raises:
        UsageError: no such model or file, or a config that describes no causal language model.
    """
    if name == "tiny":
        from rankwise.models import tiny_model

        return _build(tiny_model().config.to_dict(), "tiny", dtype)
    path = Path(name).expanduser() if name else Path()
    if name is None or name == "default":
        return _build(ARCHITECTURES[_DEFAULT], _DEFAULT, dtype)
    if path.is_dir():
        return _build(_read(_inside(path)), name, dtype)
    if path.is_file() or path.suffix == ".json":
        return _build(_read(path), name, dtype)
    if canonical := known(name):
        return _build(ARCHITECTURES[canonical], canonical, dtype)
    if _HUB_ID.fullmatch(name):
        return _build(_read(_from_hub(name)), name, dtype)
    if "/" in name:
        raise UsageError(f"the model folder {name} does not exist. {_HINT}")
    raise unknown("model", name, ["default", "tiny", *ARCHITECTURES], hint=_HINT)


def _inside(folder: Path) -> Path:
    path = folder / "config.json"
    if path.is_file():
        return path
    if (folder / "adapter_config.json").is_file():
        raise UsageError(f"{folder} is an adapter, not a model; give its base with --model.")
    raise UsageError(f"{folder} holds no config.json; give the folder of a model in the Hugging Face layout.")


def _read(path: Path) -> dict[str, Any]:
    try:
        config = read_object(path, cure="give a model's config.json")
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}; give a model's config.json.") from None
    check_config_sizes(config, path)
    if not isinstance(config.get("model_type"), str):
        raise UsageError(f"{path} names no model_type; give the config.json of a model in the Hugging Face layout.")
    return config


def _from_hub(repo: str) -> Path:
    """Fetch one file, config.json, from the hub or its cache on this machine."""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    from rankwise.models.hub import probe
    from rankwise.models.quiet import quiet

    offline = constants.HF_HUB_OFFLINE
    status = None if offline else probe(f"{constants.ENDPOINT}/{repo}/resolve/main/config.json")
    try:
        with quiet():
            return Path(hf_hub_download(repo, "config.json", local_files_only=status is None))
    except (OSError, ValueError, HfHubHTTPError) as error:
        where = f"{constants.ENDPOINT} answered HTTP {status}" if status else "the hub cannot be reached from here"
        names = ", ".join(ARCHITECTURES)
        raise UsageError(f"no config of {repo}: {where}. {_HINT}. Known without a file: {names}") from error


def _build(values: dict[str, Any], name: str, dtype: torch.dtype) -> Blueprint:
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from rankwise.models.quiet import quiet

    # auto_map names code in the model's own repository, which is never run here.
    values = {key: value for key, value in values.items() if key != "auto_map"}
    notes = []
    if values.pop("quantization_config", None):
        notes.append("The config asks for a quantized base; its weights are counted unquantized.")
    kind = values.pop("model_type")
    if kind not in CONFIG_MAPPING:
        raise unknown("model_type", kind, CONFIG_MAPPING, hint="Transformers must know it: its own code is not run")
    try:
        with quiet(), torch.device("meta"):
            config = CONFIG_MAPPING[kind].from_dict(values)
            if (text := config.get_text_config()) is not config:
                notes.append("Of this model only the language part is counted.")
                config = text
            model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    except Exception as error:  # a config can be wrong in as many ways as there are architectures
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"the config of {name} does not describe a causal language model: {reason}") from error
    if any(p.ndim == 3 for p in model.parameters()):
        notes.append("Its experts are not linear modules: they are in the parameters, but not in adapters and FLOPs.")
    return Blueprint(model, name, tuple(notes))
