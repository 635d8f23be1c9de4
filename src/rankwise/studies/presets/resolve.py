"""Named questions, resolved at a scale to a configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankwise.cost import blueprint, match_ranks, model_shape
from rankwise.errors import UsageError, unknown
from rankwise.methods import catalogue
from rankwise.models.default import NAME as DEFAULT_NAME
from rankwise.reading import read_mapping
from rankwise.studies.config import MEASURED, Arm, StudyConfig, parse_config
from rankwise.studies.presets import olora, which_matrices
from rankwise.studies.presets.arms import acting, full_arm, lora_arm, method_arm
from rankwise.studies.presets.given_arms import Arms, best_rank_first, kept, parse_arms
from rankwise.studies.presets.other_kinds import OTHER_KINDS
from rankwise.studies.presets.scales import GRIDS, SCALES, grid
from rankwise.studies.presets.survey import RATES, arm_of, is_group, settings, survey_arms
from rankwise.studies.search.lr_prior import WIDTH
from rankwise.studies.settings import as_named, check_kinds, merged


@dataclass(frozen=True)
class Preset:
    """A question and how it is asked.

    Attributes:
        arms: what answers it, at a scale and on a model.
        sweep: rates are swept wider than usual and drawn as whole curves: every rate is trained to the end.
        design: settings of its own at a scale.
        steady: grids are those of longer runs at any length, in which LoRA and inits that edit the base share a rate.
        data: the data sets of the quick study, each a cell.
        first: whether only the first of these cells has an arm.
        middle: arms that get one rate in the quick study, the middle of their grid.
    """

    question: str
    arms: Callable[[str, str], Arms]
    sweep: bool = False
    design: Callable[[str], dict[str, Any]] = lambda scale: {}
    steady: bool = False
    data: tuple[str, ...] = ()
    first: Callable[[Arm], bool] | None = None
    middle: tuple[str, ...] = ()


def _rank(scale: str) -> int:
    return {"smoke": 4, "quick": 16, "tutorial": 64}[scale]


def _alpha(scale: str, rank: int) -> float:
    """The tutorial sets alpha to the rank; everywhere else alpha is constant."""
    return float(rank) if scale == "tutorial" else 32.0


def _lora(scale: str, rank: int, placement: str = "all-linear", batch: int | None = None) -> Arm:
    return lora_arm(rank, placement, alpha=_alpha(scale, rank), batch=batch)


def _without_regret(scale: str, model: str) -> Arms:
    rank = _rank(scale)
    ladder = (_lora(scale, r) for r in (1, rank, 4 * rank))
    placements = (_lora(scale, rank, "attention"), _lora(scale, rank, "mlp"))
    return (full_arm(), *ladder, *placements, method_arm("olora", "OLoRA", rank))


def _ladder(scale: str, model: str) -> Arms:
    ranks = (1, 64, 256) if scale == "tutorial" else sorted({1, _rank(scale) // 4, _rank(scale), 4 * _rank(scale)})
    return (full_arm(), *(_lora(scale, r) for r in ranks))


def _rates(scale: str, model: str) -> Arms:
    ranks = (16, 64, 256) if scale == "tutorial" else (_rank(scale), 4 * _rank(scale))
    return (full_arm(), *(_lora(scale, r) for r in ranks))


def _batches(scale: str, model: str) -> Arms:
    middle: int = SCALES[scale]["batch"]
    rank = 256 if scale == "tutorial" else _rank(scale)
    others = [middle // 2, middle * 2]
    full = (full_arm(), *(full_arm(batch) for batch in others))
    return (*full, _lora(scale, rank), *(_lora(scale, rank, batch=batch) for batch in others))


def _placements(scale: str, model: str) -> Arms:
    """Three placements at one rank, then attention and MLP at ranks with matched parameter counts."""
    rank = 128 if scale == "tutorial" else _rank(scale)
    same = tuple(_lora(scale, rank, where) for where in ("all-linear", "attention", "mlp"))
    if scale == "smoke":
        return (full_arm(), *same)
    shape = model_shape(blueprint(model).model)
    if scale == "tutorial":
        ranks = match_ranks(shape)
    else:  # the same search around a smaller rank
        ranks = match_ranks(shape, attention=range(rank + 4, 4 * rank + 1, 4), mlp=range(4, 2 * rank + 1, 4))
    matched = (_lora(scale, ranks.attention, "attention"), _lora(scale, ranks.mlp, "mlp"))
    return (full_arm(), *same, *(arm for arm in matched if arm.name not in {a.name for a in same}))


def _methods(scale: str, model: str) -> Arms:
    others = (
        ("rslora", "rsLoRA"),
        ("dora", "DoRA"),
        ("lora_plus", "LoRA+"),
        ("olora", "OLoRA"),
        ("pissa", "PiSSA"),
    )
    rank = _rank(scale)
    return (full_arm(), _lora(scale, rank), *(method_arm(name, label, rank) for name, label in others))


DATA = ("word-problems", "word-problems:vi", "code-book")  # of presets whose answer counts cells

PRESETS = {
    "without-regret": Preset("Which adapter matches full fine-tuning, and at what cost?", _without_regret),
    "rank": Preset("How much rank is enough to match full fine-tuning?", _ladder),
    "learning-rate": Preset("How far above full fine-tuning's is LoRA's best learning rate?", _rates, sweep=True),
    "batch-size": Preset("Does LoRA pay more than full fine-tuning for large batches?", _batches),
    "placement": Preset("Do adapters need all linear layers, or only attention or the MLP?", _placements),
    "methods": Preset("Which low-rank method matches full fine-tuning at the same rank?", _methods),
    "olora": Preset(
        olora.QUESTION,
        olora.arms,
        design=olora.design,
        steady=True,
        data=DATA,
        first=olora.only_first,
    ),
    "which-matrices": Preset(
        which_matrices.QUESTION,
        which_matrices.arms,
        design=which_matrices.design,
        data=DATA,
        first=which_matrices.only_first,
        middle=("full",),
    ),
}


def question(preset: str) -> str:
    """Return the question a preset asks, or an empty text for a study of one's own arms."""
    return PRESETS[preset].question if preset in PRESETS else ""


def resolve_study(preset: str, scale: str, changes: dict[str, Any] | None = None) -> StudyConfig:
    """Resolve a preset at a scale, with ``changes`` to settings on top.

    Args:
        changes: settings by name. ``methods`` keeps only arms whose name or method is listed (the reference stays);
            preset "methods" takes any method of the catalogue there, and a group makes it a survey.
            ``learning_rates`` may name some arms only; ``sizes`` may name some splits only. ``method`` may hold
            ``events``, which every arm with an adapter gets.

    Raises:
        UsageError: an unknown preset, scale, method or setting.
    """
    if preset == "smoke":  # `rankwise study smoke` is the first preset at the smallest scale
        preset, scale = "without-regret", "smoke"
    if preset not in PRESETS:
        raise unknown(
            "preset",
            str(preset),
            [*PRESETS, "smoke"],
            hint=f"Or {', '.join(OTHER_KINDS)} (by its name only), or a study in a .yaml file",
        )
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    changes = _given(changes or {})
    surveyed = _surveyed(preset, changes)
    kind = (
        {**settings(surveyed), "survey": surveyed} if surveyed else {"search": "grid"} if PRESETS[preset].sweep else {}
    )
    designed = PRESETS[preset].design(scale)
    values = merged(merged(SCALES[scale], {**designed, **kind}), changes)
    if values.get("cheapest_by") in MEASURED and "measure" not in changes:
        values["measure"] = True  # asked for, so measured, at scales that leave it out too
    if "fresh_seeds" in changes and "until" not in changes:  # so many, and one look
        values["until"] = "seeds"
    if "fresh_seeds" not in changes and values["seed"] in values["fresh_seeds"]:  # as with --seed: those after it
        values["fresh_seeds"] = tuple(values["seed"] + 1 + number for number in range(len(values["fresh_seeds"])))
    arms: Any = values.pop("arms", None)
    own = parse_arms(arms) if arms is not None else PRESETS[preset].arms(scale, str(values["model"]))
    methods = values.pop("methods", None)
    if values.get("reference") == "best-rank" and "reference" not in changes:
        own = best_rank_first(own)  # the preset's own: stays whatever else is left out
    if surveyed:
        own = survey_arms(list(surveyed), scale, str(values["model"]))
    elif methods:
        own = kept(own + (_more(own, methods, scale) if preset == "methods" and arms is None else ()), methods)
    if changes.get("reference") == "best-rank":
        own = best_rank_first(own)
    if "method" in values:
        own = acting(own, values.pop("method"))
    rates = _grids(own, preset, scale, values)
    rates.update(values.pop("learning_rates", {}))
    dumped = [arm.model_dump(mode="json") for arm in own]
    return parse_config({"preset": preset, "scale": scale, "arms": dumped, "learning_rates": rates, **values})


def _given(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the changes with names as lists and paths as text.

    Raises:
        UsageError: one that cannot stand beside a preset and a scale.
    """
    for name in ("preset", "scale"):
        if name in changes:
            raise UsageError(f"{name} decides what the other settings are and is not one of them; give it by itself.")
    methods = changes.get("methods")
    listed = {"methods": [part.strip() for part in methods.split(",")]} if isinstance(methods, str) else {}
    found = as_named({**changes, **listed})
    check_kinds(found)
    return found


def _grids(arms: Arms, preset: str, scale: str, values: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    model, steps = str(values["model"]), values["steps"]
    rule = "quick" if scale == "smoke" and model != "tiny" else scale  # the smoke grids are the tiny model's
    size: dict[str, int] = {"width": _width(model)} if rule not in GRIDS else {}
    if isinstance(steps, int) and steps > 0 and not PRESETS[preset].steady:
        size["steps"] = steps
    sweep = PRESETS[preset].sweep
    grids = {arm.name: grid(rule, arm.target(), method=arm.known_method, sweep=sweep, **size) for arm in arms}
    if scale == "quick":
        grids |= {name: (grids[name][len(grids[name]) // 2],) for name in PRESETS[preset].middle if name in grids}
    return {name: rates[:RATES] for name, rates in grids.items()} if values.get("survey") else grids


def _surveyed(preset: str, changes: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of ``methods`` when they hold a group."""
    names = tuple(changes.get("methods") or ())
    return names if preset == "methods" and "arms" not in changes and is_group(list(names)) else ()


def _more(arms: Arms, wanted: list[str], scale: str) -> Arms:
    """Return arms for the methods of the catalogue that the preset has none for."""
    names = {arm.name for arm in arms} | {arm.method for arm in arms}
    known = {card.name for card in catalogue()} - names
    return tuple(arm_of(name, scale) for name in wanted if name in known)


def _width(model: str) -> int:
    """Return a model's hidden width; the default's where it cannot be known yet (loading it will say why)."""
    if model in ("default", DEFAULT_NAME):
        return WIDTH
    try:
        config: Any = blueprint(model).model.config
        return int(config.hidden_size)
    except (UsageError, AttributeError):
        return WIDTH


def resolve_file(path: Path, changes: dict[str, Any] | None = None) -> StudyConfig:
    """Resolve a study written in YAML: ``preset`` and ``scale`` (both optional) and any settings on top.

    Raises:
        UsageError: no such file, not a mapping, or an unknown setting.
    """
    try:
        values = read_mapping(path, what="settings, such as 'preset: rank' and 'data: my_data.jsonl'")
    except FileNotFoundError:
        raise UsageError(f"no such study file: {path}.") from None
    values = merged(values, changes or {})
    preset, scale = values.pop("preset", "without-regret"), values.pop("scale", "quick")
    try:
        return resolve_study(str(preset), str(scale), values)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
