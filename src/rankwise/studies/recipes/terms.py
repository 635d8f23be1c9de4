"""What a recipe says, free of any tool's spelling, and the adapter in PEFT's terms, which four of five tools share."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rankwise.adapters import Adapter
from rankwise.adapters.optimizers import AdamW, LoRAPlus
from rankwise.data.bad_rows import Skipping
from rankwise.data.columns import spelled
from rankwise.data.hub import ID as HUB_DATA
from rankwise.engine import TrainSpec
from rankwise.errors import UsageError, unknown
from rankwise.models.default import HUB_ID as DEFAULT_MODEL
from rankwise.studies.config import StudyConfig
from rankwise.studies.results.schema import Results

# Our inits by PEFT's init_lora_weights. The base-editing ones are the same update in exact arithmetic.
PEFT_INITS: dict[str, bool | str] = {
    "kaiming": True,
    **{name: name for name in ("gaussian", "orthogonal", "olora", "pissa")},
}
_SAID = {"rank", "alpha", "parametrization", "init", "scaling", "placement", "dropout", "optimizer"}


@dataclass(frozen=True)
class Recipe:
    """One arm, free of any tool's spelling.

    Attributes:
        spec: everything that decides the run; ``spec.target`` is the adapter.
        targets: module names as PEFT matches them (whole names or last dotted parts).
        heading: comment lines: what the study found.
        model, data: what to load; ``data`` is as the study named it.
    """

    spec: TrainSpec
    targets: tuple[str, ...]
    heading: tuple[str, ...]
    model: str
    data: str
    max_length: int
    dtype: str
    system: str | None

    @property
    def adapter(self) -> Adapter:
        """The arm's adapter."""
        assert isinstance(self.spec.target, Adapter)
        return self.spec.target

    @property
    def micro_batch(self) -> int:
        """Examples per pass, as many as divide the batch evenly."""
        return math.gcd(self.spec.batch, self.spec.micro_batch)


@dataclass
class Lora:
    """The adapter in PEFT's terms.

    Attributes:
        plus: LoRA+'s learning rate of B over that of A.
        limits: where the tool's recipe is another than the one studied.
        notes: what to mind although it is the same.
    """

    alpha: float
    rslora: bool
    dora: bool
    init: str
    plus: float | None = None
    limits: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def whole_alpha(self) -> int:
        """Alpha for a tool that takes whole numbers only."""
        if self.alpha != round(self.alpha):
            self.limits.append(
                f"alpha must be a whole number here; the study's {self.alpha:g} became {round(self.alpha)}."
            )
        return round(self.alpha)

    def note_base_edit(self) -> None:
        """What PEFT does where we keep a frozen start."""
        if self.init in ("olora", "pissa"):
            self.notes.append(
                f"PEFT's {self.init} edits the base: save with path_initial_model_for_weight_conversion, or the "
                "adapter fits the edited base only. On a bfloat16 base the edit rounds; rankwise never edits it."
            )

    def init_among(self, known: Sequence[str], tool: str) -> str:
        """The init if ``tool`` has it, else plain LoRA's, said in a comment."""
        if self.init in known:
            return self.init
        self.limits.append(
            f"{tool} has no {self.init!r} init, which the study used. Below is plain LoRA, another method: its best "
            "learning rate and scale differ, so search them again, or use train_trl.py."
        )
        return "kaiming"


def make_recipe(config: StudyConfig, results: Results, name: str, targets: list[str] | str) -> Recipe:
    """Collect what the files say; see :func:`write_recipes`."""
    found = {arm["name"]: arm for arm in results["arms"]}
    if name not in found:
        raise unknown("arm", name, found)
    arm = config.arm(name)
    if not isinstance(arm.target(), Adapter):
        raise UsageError(f"arm {name!r} is full fine-tuning; a recipe needs an adapter.")
    lr = found[name]["best_lr"]
    if lr is None:
        raise UsageError(f"arm {name!r} has no learning rate that finished; there is no recipe for it.")
    spec = config.train_spec(arm, lr, config.fresh_seeds[0] if config.fresh_seeds else config.seed)
    cell = results["cell"]
    heading = [
        f"{arm.label} on {cell['data']}, model {cell['model']}, found by `rankwise study`.",
        f"Verdict: {found[name]['verdict']['sentence']}",
        f"The update: {arm.target()!r}.",
        f"{spec.steps} steps of {spec.batch} examples were studied; a longer run may want a lower learning rate.",
    ]
    if config.model == "tiny":
        heading.append("'tiny' is rankwise's random test model: put a real model in its place.")
    if config.completion_style != "hashes":
        heading.append(f"rankwise wrote worked solutions in the {config.completion_style!r} style; do so in your data.")
    if config.columns:
        heading.append(f"rankwise read the columns as {spelled(config.columns)}: say the same in your data.")
    skip = Skipping.of(config.data)
    if skip.on:
        heading.append("The study left out rows that cannot be used (its notes name them): take them out of the data.")
    if not is_local(skip.data) and not HUB_DATA.fullmatch(skip.data):
        heading.append(f"{skip.data!r} is made by rankwise: put your own rows into train.jsonl.")
    return Recipe(
        spec=spec,
        targets=module_names(targets),
        heading=tuple(heading),
        model=DEFAULT_MODEL if config.model == "default" else config.model,
        data=skip.data,
        max_length=config.max_length,
        dtype=config.dtype,
        system=config.system,
    )


def module_names(targets: list[str] | str) -> tuple[str, ...]:
    """Return ``target_modules`` as names; our PEFT writer's regex is a list of escaped full names."""
    if isinstance(targets, list):
        return tuple(targets)
    return tuple(re.sub(r"\\(.)", r"\1", part) for part in targets.split("|"))


def lora_terms(adapter: Adapter) -> Lora:
    """Say an adapter in PEFT's terms."""
    rslora = adapter.scaling.name == "alpha/sqrt(r)"
    # Any other scale s is plain LoRA's alpha/r with alpha = s r.
    lora = Lora(adapter.alpha if rslora else adapter.s * adapter.rank, rslora, False, adapter.init.name)
    shape = adapter.parametrization.name
    lora.dora = shape == "weight-decomposed"
    if lora.dora and getattr(adapter.parametrization, "axis", "out") != "out":
        lora.limits.append("PEFT's DoRA has one magnitude per output, the study's one per input.")
    if isinstance(adapter.optimizer, LoRAPlus):
        lora.plus = adapter.optimizer.ratio
    elif type(adapter.optimizer) is not AdamW:  # others derive from it and step differently
        lora.limits.append(f"the study's optimizer ({adapter.optimizer.describe()}) is not part of this configuration.")
    if shape not in ("low-rank", "weight-decomposed"):
        lora.limits.append(f"PEFT's LoRA has no {shape!r} update; below is plain LoRA, another method.")
    if lora.init not in PEFT_INITS:
        lora.limits.append(f"PEFT's LoRA has no {lora.init!r} init; below is its default start, another method.")
        lora.init = "kaiming"
    plain = Adapter()
    for axis in dataclasses.fields(adapter):
        value = getattr(adapter, axis.name)
        if axis.name not in _SAID and value != getattr(plain, axis.name):
            said = ", ".join(one.describe() for one in value) if isinstance(value, tuple) else value
            lora.limits.append(f"the study's {axis.name} ({said}) is not part of this configuration; add it by hand.")
    return lora


def peft_arguments(recipe: Recipe) -> tuple[dict[str, Any], Lora]:
    """Return keyword arguments of ``peft.LoraConfig``, and the adapter in its terms (for the comments)."""
    adapter, lora = recipe.adapter, lora_terms(recipe.adapter)
    lora.note_base_edit()
    alpha = int(lora.alpha) if float(lora.alpha).is_integer() else lora.alpha
    arguments = {
        "task_type": "CAUSAL_LM",
        "r": adapter.rank,
        "lora_alpha": alpha,
        "lora_dropout": adapter.dropout,
        "target_modules": list(recipe.targets),
        "use_rslora": lora.rslora,
        "use_dora": lora.dora,
        "init_lora_weights": PEFT_INITS[lora.init],
        "bias": "none",
    }
    return arguments, lora


def trl_arguments(recipe: Recipe) -> dict[str, Any]:
    """Return keyword arguments of ``trl.SFTConfig``."""
    spec = recipe.spec
    return {
        "output_dir": "adapter",
        "max_steps": spec.steps,
        "per_device_train_batch_size": recipe.micro_batch,
        "gradient_accumulation_steps": spec.batch // recipe.micro_batch,
        "learning_rate": spec.lr,
        "lr_scheduler_type": spec.schedule,
        "warmup_steps": spec.warmup,
        "weight_decay": spec.weight_decay,
        "adam_beta1": spec.betas[0],
        "adam_beta2": spec.betas[1],
        "adam_epsilon": spec.eps,
        "max_grad_norm": spec.clip,
        "optim": "adamw_torch_fused",
        "max_length": recipe.max_length,
        "completion_only_loss": True,
        "bf16": False,  # no autocast: the base is in its own dtype, the factors are in float32
        "gradient_checkpointing": False,
        "seed": spec.seed,
        "logging_steps": 1,
        "report_to": "none",
    }


def is_local(data: str) -> bool:
    """Return whether ``data`` is a file or folder here."""
    return Path(data).exists()
