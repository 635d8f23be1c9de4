"""The README beside an adapter: what it is, how good it is, on what base, and how to load it."""

from __future__ import annotations

from pathlib import Path

import yaml

from rankwise.adapters import Adapter
from rankwise.data import Splits
from rankwise.engine import RunResult, Score, TrainSpec
from rankwise.files import write_text
from rankwise.methods import card, catalogue
from rankwise.methods.card import Card
from rankwise.models import Base
from rankwise.stats.single import per_token
from rankwise.studies.results.schema import StudyDocument

SET_UP = "## How it was trained"


def card_header(base: str, *, merged: bool = False) -> list[str]:
    """Return the lines of metadata that model hubs read, for an adapter of ``base`` or a model merged with one."""
    values = {"base_model": base, "tags": ["rankwise", "merged" if merged else "lora"]}
    if not merged:
        values = {"library_name": "peft", **values}
    return ["---", *yaml.safe_dump(values, sort_keys=False, allow_unicode=True).splitlines(), "---"]


def write_card(folder: Path, name: str, document: StudyDocument, method: str | None) -> None:
    """Write ``README.md`` for the adapter of arm ``name``. It says so when no arm matched.

    Args:
        method: the one that made the adapter; None: it was composed by hand, and rests on no paper.
    """
    results = document["results"]
    arm = next(a for a in results["arms"] if a["name"] == name)
    cell, training = results["cell"], results["training"]
    matched = results["verdict"]["recommended"] == name
    lead = "" if matched else "**No arm matched the reference; this is the best adapter of the study.**\n\n"
    seed = next(run["seed"] for run in arm["fresh"] if run["status"] == "done")
    lines = [
        *card_header(cell["model"]),
        f"# {arm['label']} on {cell['data']}",
        "",
        f"{lead}{arm['verdict']['sentence']}",
        "",
        SET_UP,
        "",
        f"- base: {cell['model']}, fingerprint `{cell['base_fingerprint'][:16]}`",
        f"- update: `{arm['formula']}`, {arm['trainable']:,} trainable parameters, alpha {arm['alpha']:g}, "
        f"alpha/r {arm['alpha_over_rank']:g}, effective scale {arm['scaling']:g}",
        f"- training: {training['steps']} steps of {arm['batch']} examples, learning rate {arm['best_lr']:g}, "
        f"{training['schedule']} schedule, seed {seed}",
        f"- test NLL per completion token: {arm['test_nll']:.4f} (base {results['base']['test_nll']:.4f}), "
        f"mean over seeds {', '.join(str(run['seed']) for run in arm['fresh'])}",
        *(f"- {note}" for note in cell["notes"]),
        "",
        "```python",
        "from peft import PeftModel",
        "model = PeftModel.from_pretrained(base_model, 'best')   # or rankwise.load(base_model, 'best')",
        "```",
        "",
    ]
    lines += _bibtex([card(method)] if method else [])
    write_text(folder / "README.md", "\n".join(lines))


def write_run_card(
    folder: Path,
    method: str | None,
    spec: TrainSpec,
    base: Base,
    splits: Splits,
    result: RunResult,
    base_test: Score,
) -> None:
    """Write ``README.md`` beside the adapter of one run: set-up, scores with intervals, notes, citation.

    Args:
        method: the one that made the adapter; None: it was composed by hand, and its axes tell.
    """
    data, target = splits.name, spec.target
    assert isinstance(target, Adapter)
    lines = [
        *card_header(base.name),
        f"# Adapter of {base.name} for {data}",
        "",
        SET_UP,
        "",
        f"- base: {base.name}, fingerprint `{base.fingerprint[:16]}`",
        f"- update: `{target!r}`, {result.trainable:,} trainable parameters, alpha {target.alpha:g}, "
        f"alpha/r {target.alpha / target.rank:g}, effective scale {target.s:g}",
        f"- training: {spec.steps} steps of {spec.batch} examples of {data}, learning rate {spec.lr:g}, "
        f"{spec.schedule} schedule, seed {spec.seed}; kept: step {result.best_step}",
    ]
    if result.test is not None:
        own, untouched = per_token(result.test.nll, result.test.targets), per_token(base_test.nll, base_test.targets)
        lines.append(f"- test NLL per completion token: {own} (base {untouched}); one seed, interval over examples")
    lines += [*(f"- {note}" for note in (*base.notes, *splits.notes)), ""]
    lines += _bibtex(_cards(target, method))
    write_text(folder / "README.md", "\n".join(lines))


def carried(folder: Path) -> list[str]:
    """Return the part of an adapter's card that stays true of its copies: how it was trained, and citations."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return []
    _, found, rest = text.partition(SET_UP)
    return [found + rest] if found else []


def _cards(target: Adapter, method: str | None) -> list[Card]:
    """Return the methods whose papers ``target`` rests on.

    The one that made it, and those that its options brought in (an init, an event). Where no method is known, those
    whose own axes it has, else LoRA.
    """
    found = _with_axes_of(target)
    if method is None:
        return found or [card("lora")]
    made = card(method)
    usual = made.build()
    own = _with_axes_of(usual) if isinstance(usual, Adapter) else []
    return [made, *(one for one in found if one not in own and one is not made)]


def _with_axes_of(target: Adapter) -> list[Card]:
    """Return the methods all of whose own axes, those that differ from LoRA's defaults, ``target`` has."""
    plain = Adapter()
    found = []
    for one in catalogue():
        made = one.build()
        if not isinstance(made, Adapter):
            continue
        own = [axis for axis in _AXES if _kind(made, axis) != _kind(plain, axis)]
        if own and all(_kind(target, axis) == _kind(made, axis) for axis in own):
            found.append(one)
    return found


def _bibtex(cards: list[Card]) -> list[str]:
    """Return the lines that cite the papers of ``cards``, those that have one."""
    return [line for one in cards if one.citation for line in ("```bibtex", one.citation, "```", "")]


_AXES = (
    *("parametrization", "init", "scaling", "optimizer", "freezing", "storage", "allocation"),
    *("events", "penalties"),
)


def _kind(adapter: Adapter, axis: str) -> tuple[type, ...]:
    """Return the classes of the choices on one axis."""
    value = getattr(adapter, axis)
    return tuple(type(choice) for choice in (value if isinstance(value, tuple) else (value,)))
