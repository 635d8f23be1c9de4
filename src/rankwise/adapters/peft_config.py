"""What PEFT's ``adapter_config.json`` says, in our terms: which modules, which rank and scale each."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from torch import nn

from rankwise.adapters import orientation
from rankwise.adapters.adapter import Adapter
from rankwise.adapters.inits import Kaiming
from rankwise.adapters.parametrizations import LowRank, WeightDecomposed
from rankwise.adapters.placements import Placement, Regex, Suffixes
from rankwise.adapters.scalings import AlphaOverRank, AlphaOverSqrtRank
from rankwise.errors import UsageError
from rankwise.reading import Options, Pattern

# PEFT options that change what the factors mean, or where they go, and that we do not read.
_NOT_LOADED = (
    *("use_qalora", "use_bdlora", "lora_bias", "alora_invocation_tokens", "monteclora_config"),
    *("kasa_config", "arrow_config", "velora_config", "megatron_config"),
    *("target_parameters", "trainable_token_indices", "layers_to_transform", "layer_replication", "exclude_modules"),
)
_PEFT_INITS_THAT_KEEP_W0 = (True, False, None, "gaussian", "orthogonal", "eva", "mica")


@dataclass(frozen=True)
class Terms:
    """The numbers of a checked config.

    Attributes:
        rank, alpha: of modules without a pattern; rank as it is in the file.
        ranks, alphas: PEFT's patterns, regex over dotted names to value.
        rs: scale is alpha / sqrt(rank).
        targets: suffixes, or a regex that must match a whole name.
        whole: ``modules_to_save``.
        where: the file, for sentences.
    """

    rank: int
    alpha: float
    ranks: dict[str, int]
    alphas: dict[str, float]
    rs: bool
    dora: bool
    targets: tuple[str, ...] | str
    whole: tuple[str, ...]
    dropout: float
    where: str = field(default="adapter_config.json", compare=False)
    _patterns: dict[str, Pattern] = field(default_factory=dict, init=False, repr=False, compare=False)
    _target: list[Pattern] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for text in (*self.ranks, *self.alphas):
            self._patterns[text] = Pattern(text, f"{self.where}: the pattern", around=(r"(.*\.)?(", ")$"))
        if isinstance(self.targets, str):
            self._target.append(Pattern(self.targets, f"{self.where}: target_modules"))

    def rank_of(self, path: str) -> int:
        """Return the rank of module ``path`` in the file."""
        return int(self._own(self.ranks, path, self.rank))

    def scaling_of(self, path: str) -> float:
        """Return s of module ``path``."""
        rank = self.rank_of(path)
        return float(self._own(self.alphas, path, self.alpha)) / (math.sqrt(rank) if self.rs else rank)

    def patterned(self, path: str) -> bool:
        """Return whether ``path`` has a rank or an alpha of its own."""
        return any(self._patterns[pattern].begins(path) for pattern in (*self.ranks, *self.alphas))

    def select(self, model: nn.Module) -> list[str]:
        """Return the modules of ``model`` that PEFT would adapt, in the model's order."""
        return [
            name
            for name, module in model.named_modules()
            if name and self._targets(name) and (orientation.is_linear(module) or orientation.is_embedding(module))
        ]

    def saves(self, path: str) -> bool:
        """Return whether ``modules_to_save`` means module ``path``: PEFT takes any name with such an ending."""
        return any(path.endswith(name) or f".{name}." in f".{path}." for name in self.whole)

    def _targets(self, name: str) -> bool:
        if any(re.match(rf"(^|.*\.){re.escape(whole)}($|\..*)", name) for whole in self.whole):
            return False
        if isinstance(self.targets, str):
            return self._target[0].matches(name)
        return any(name == target or name.endswith(f".{target}") for target in self.targets)

    def _own(self, patterns: dict[str, Any], path: str, default: float) -> float:
        return next((value for pattern, value in patterns.items() if self._patterns[pattern].begins(path)), default)


def read_terms(config: dict[str, Any], folder: Path) -> Terms:
    """Check a LoRA config (PEFT's, or ours of any type) and return its numbers.

    Raises:
        UsageError: an option that we do not read, or a value of the wrong kind.
    """
    for option in _NOT_LOADED:
        if config.get(option):
            raise UsageError(f"{folder} uses {option}={config[option]!r}, which cannot be loaded here yet.")
    if (bias := config.get("bias", "none")) != "none":
        raise UsageError(
            f"{folder} uses bias={bias!r}: it trained the base's biases, so it only fits the one base it changed, and "
            "vLLM refuses it too; merge it with PEFT (merge_and_unload), or train with bias 'none'."
        )
    own = Options(config, f"{folder}/adapter_config.json")
    ranks, alphas = own.mapping("rank_pattern"), own.mapping("alpha_pattern")
    return Terms(
        rank=own.count("r", config.get("r", 8)),
        alpha=own.number("lora_alpha", config.get("lora_alpha", 8)),
        ranks={pattern: own.count(f"rank_pattern {pattern!r}", value) for pattern, value in ranks.items()},
        alphas={pattern: own.number(f"alpha_pattern {pattern!r}", value) for pattern, value in alphas.items()},
        rs=own.switch("use_rslora"),
        dora=own.switch("use_dora"),
        targets=own.names("target_modules", or_pattern=True),
        whole=cast("tuple[str, ...]", own.names("modules_to_save")),
        dropout=own.number("lora_dropout", config.get("lora_dropout") or 0.0),
        where=own.where,
    )


def plain_lora(config: dict[str, Any], terms: Terms, folder: Path) -> Adapter:
    """Translate the config of a LoRA, rsLoRA or DoRA checkpoint made by PEFT.

    Raises:
        UsageError: another method, or an init whose factors need an edited base.
    """
    if config.get("peft_type") != "LORA":
        raise UsageError(f"{folder} holds a {config.get('peft_type')!r} adapter; only PEFT LoRA can be loaded here.")
    init = config.get("init_lora_weights", True)
    if init not in _PEFT_INITS_THAT_KEEP_W0:
        raise UsageError(
            f"{folder} was saved by PEFT with init_lora_weights={init!r}: its factors belong to a base that PEFT "
            "edited, not to this one. Save it from PEFT with path_initial_model_for_weight_conversion, then load that."
        )
    placement: Placement
    if isinstance(terms.targets, str):
        placement = Regex(rf"^(?:{terms.targets})$")
    else:
        placement = Suffixes(terms.targets)
    return Adapter(
        rank=terms.rank,
        alpha=terms.alpha,
        parametrization=WeightDecomposed() if terms.dora else LowRank(),
        init=Kaiming(),
        scaling=AlphaOverSqrtRank() if terms.rs else AlphaOverRank(),
        placement=placement,
        dropout=terms.dropout,
    )
