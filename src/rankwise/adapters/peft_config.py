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
from rankwise.adapters.peft_options import check_options
from rankwise.adapters.placements import AllLinear, Placement, Regex, Suffixes
from rankwise.adapters.scalings import AlphaOverRank, AlphaOverSqrtRank
from rankwise.errors import UsageError
from rankwise.reading import Options, Pattern

_ALL_LINEAR = "all-linear"  # as a whole value, in any case
_TABLES = ("embed_tokens", "lm_head")  # what ensure_weight_tying is about, by PEFT's own list
_PEFT_INITS_THAT_KEEP_W0 = (True, False, None, "gaussian", "orthogonal", "eva", "mica")


@dataclass(frozen=True)
class Terms:
    """The numbers of a checked config.

    Attributes:
        rank, alpha: of modules without a pattern; rank as it is in the file.
        ranks, alphas: PEFT's patterns, regex over dotted names to value.
        rs: scale is alpha / sqrt(rank).
        targets: suffixes, or a regex that must match a whole name, or ``all-linear``.
        excluded: suffixes or such a regex, which win over ``targets``.
        layers: numbers of the layers that suffixes are looked for in, None for all.
        layers_pattern: names of what is numbered; any when empty.
        whole: ``modules_to_save``.
        tying: what is done to one of two tied tables is done to the other.
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
    excluded: tuple[str, ...] | str = ()
    layers: tuple[int, ...] | None = None
    layers_pattern: tuple[str, ...] = ()
    tying: bool = False
    where: str = field(default="adapter_config.json", compare=False)
    _patterns: dict[str, Pattern] = field(default_factory=dict, init=False, repr=False, compare=False)
    _whole: dict[str, Pattern] = field(default_factory=dict, init=False, repr=False, compare=False)
    _numbered: list[Pattern] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for text in (*self.ranks, *self.alphas):
            self._patterns[text] = Pattern(text, f"{self.where}: the pattern", around=(r"(.*\.)?(", ")$"))
        for option, those in (("target_modules", self.targets), ("exclude_modules", self.excluded)):
            if isinstance(those, str):
                self._whole[those] = Pattern(those, f"{self.where}: {option}")
        for text in self.layers_pattern or (r"[^.]*",):
            before = r"(?:^|.*?\.)" if self.layers_pattern else r".*?\."
            self._numbered.append(Pattern(text, f"{self.where}: layers_pattern", around=(before, r"\.(\d+)\.")))

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
        tied = self._tied(model) if self.tying and self._means_table() == "targets" else ()
        head = getattr(model, "get_output_embeddings", lambda: None)()
        found = []
        for name, module in model.named_modules():
            linear = orientation.is_linear(module)
            if not name or not (linear or orientation.is_embedding(module)):
                continue
            meant = linear and module is not head if self.everywhere else self._targets(name)
            if (meant and not self._kept_out(name)) or name in tied:
                found.append(name)
        return found

    def saves(self, path: str, model: nn.Module) -> bool:
        """Return whether ``modules_to_save`` means module ``path``: PEFT takes any name with such an ending."""
        named = any(path.endswith(name) or f".{name}." in f".{path}." for name in self.whole)
        return named or (self.tying and self._means_table() == "whole" and path in self._tied(model))

    @property
    def everywhere(self) -> bool:
        """Whether every linear layer but the output head is meant."""
        return isinstance(self.targets, str) and self.targets.lower() == _ALL_LINEAR

    @property
    def narrowed(self) -> bool:
        """Whether more than ``targets`` decides which modules are adapted."""
        return bool(self.excluded) or self.layers is not None or self.tying

    def _kept_out(self, name: str) -> bool:
        whole = any(re.match(rf"(^|.*\.){re.escape(other)}($|\..*)", name) for other in self.whole)
        return whole or self._named(self.excluded, name)

    def _targets(self, name: str) -> bool:
        if isinstance(self.targets, str) or name in self.targets or self.layers is None:
            return self._named(self.targets, name)
        return self._named(self.targets, name) and self._layer_of(name) in self.layers

    def _layer_of(self, name: str) -> int | None:
        """Return the first number in a dotted name that stands for a layer."""
        found = (pattern.group(name) for pattern in self._numbered)
        return next((int(number) for number in found if number), None)

    def _means_table(self) -> str:
        """Return which option names an embedding or an output head, as PEFT knows them by their names."""
        if any(name.rpartition(".")[2] in _TABLES for name in self.whole):
            return "whole"
        if isinstance(self.targets, str):
            meant = any(self._whole[self.targets].matches(name) for name in _TABLES)
        else:
            meant = any(name.rpartition(".")[2] in _TABLES for name in self.targets)
        return "targets" if meant else ""

    @staticmethod
    def _tied(model: nn.Module) -> list[str]:
        """Return the embedding and the output head if they hold one tensor."""
        ends: list[Any] = [getattr(model, f"get_{side}_embeddings", lambda: None)() for side in ("input", "output")]
        if any(end is None for end in ends) or ends[0].weight is not ends[1].weight:
            return []
        return [name for name, module in model.named_modules() if any(module is end for end in ends)]

    def _named(self, those: tuple[str, ...] | str, name: str) -> bool:
        """Return whether a whole regex or one of several endings fits a dotted name."""
        if isinstance(those, str):
            return self._whole[those].matches(name)
        return any(name == ending or name.endswith(f".{ending}") for ending in those)

    def _own(self, patterns: dict[str, Any], path: str, default: float) -> float:
        return next((value for pattern, value in patterns.items() if self._patterns[pattern].begins(path)), default)


def read_terms(config: dict[str, Any], folder: Path) -> Terms:
    """Check a LoRA config (PEFT's, or ours of any type) and return its numbers.

    Raises:
        UsageError: an option that we do not read, or a value of the wrong kind.
    """
    if config.get("peft_type") != "LORA":
        raise UsageError(f"{folder} holds a {config.get('peft_type')!r} adapter; only PEFT LoRA can be loaded here.")
    check_options(config, folder)
    if (bias := config.get("bias", "none")) != "none":
        raise UsageError(
            f"{folder} uses bias={bias!r}: it trained the base's biases, so it only fits the one base it changed, and "
            "vLLM refuses it too; merge it with PEFT (merge_and_unload), or train with bias 'none'."
        )
    own = Options(config, f"{folder}/adapter_config.json")
    ranks, alphas = own.mapping("rank_pattern"), own.mapping("alpha_pattern")
    targets, excluded = (_plain(own.names(name, or_pattern=True)) for name in ("target_modules", "exclude_modules"))
    layers = config.get("layers_to_transform")
    layers = [layers] if isinstance(layers, int) else layers or None
    if layers is not None and isinstance(targets, str):
        raise UsageError(
            f"{own.where} gives layers_to_transform={layers} beside target_modules={targets!r}; only a list of names "
            "can be narrowed to layers, in PEFT too."
        )
    if layers is not None and not (isinstance(layers, list) and all(type(layer) is int for layer in layers)):
        raise own.wrong("layers_to_transform", "whole numbers", layers)
    numbered = own.names("layers_pattern", or_pattern=True)
    return Terms(
        rank=own.count("r", config.get("r", 8)),
        alpha=own.number("lora_alpha", config.get("lora_alpha", 8)),
        ranks={pattern: own.count(f"rank_pattern {pattern!r}", value) for pattern, value in ranks.items()},
        alphas={pattern: own.number(f"alpha_pattern {pattern!r}", value) for pattern, value in alphas.items()},
        rs=own.switch("use_rslora"),
        dora=own.switch("use_dora"),
        targets=targets,
        whole=cast("tuple[str, ...]", own.names("modules_to_save")),
        dropout=own.number("lora_dropout", config.get("lora_dropout") or 0.0),
        excluded=excluded,
        layers=None if layers is None else tuple(layers),
        layers_pattern=(numbered,) if isinstance(numbered, str) else numbered,
        tying=own.switch("ensure_weight_tying"),
        where=own.where,
    )


def _plain(names: tuple[str, ...] | str) -> tuple[str, ...] | str:
    """Return a regex as it is, or the endings of names without what ``torch.compile`` puts in front of them."""
    return names if isinstance(names, str) else tuple(map(plain_name, names))


def plain_name(name: str) -> str:
    """Return a dotted name without what ``torch.compile`` puts into it."""
    return name.replace("_orig_mod.", "")


def plain_lora(config: dict[str, Any], terms: Terms, folder: Path, model: nn.Module) -> Adapter:
    """Translate the config of a LoRA, rsLoRA or DoRA checkpoint made by PEFT, for ``model``.

    Raises:
        UsageError: another method, or an init whose factors need an edited base.
    """
    init = config.get("init_lora_weights", True)
    if init not in _PEFT_INITS_THAT_KEEP_W0:
        raise UsageError(
            f"{folder} was saved by PEFT with init_lora_weights={init!r}: its factors belong to a base that PEFT "
            "edited, not to this one. Save it from PEFT with path_initial_model_for_weight_conversion, then load that."
        )
    placement: Placement
    if terms.everywhere and not terms.narrowed:
        placement = AllLinear()
    elif terms.narrowed and (paths := terms.select(model)):
        placement = Regex("^(?:" + "|".join(re.escape(path) for path in paths) + ")$")
    elif isinstance(terms.targets, str):
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
