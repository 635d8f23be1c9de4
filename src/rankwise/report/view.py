"""What a reader sees of each arm, as text: one place for the page and the terminal, so they cannot disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rankwise.report import wording

Document = Mapping[str, Any]
Arm = Mapping[str, Any]


@dataclass(frozen=True)
class Badge:
    """A verdict word with an icon and a tone, so that color is never the only carrier of meaning."""

    word: str
    icon: str
    tone: str


BADGES = {
    badge.word: badge
    for badge in (
        Badge("matches or beats", "✓", "good"),
        Badge("falls short", "✗", "bad"),
        Badge("undecided", "?", "unsure"),
        Badge("no verdict", "–", "quiet"),
        Badge("screened", "○", "quiet"),
        Badge("reference", "◆", "reference"),
    )
}


@dataclass(frozen=True)
class ArmView:
    """One arm in words. Every field is plain text; an absent number is an en dash, an absent remark is empty."""

    name: str
    label: str
    formula: str
    badge: Badge
    sentence: str
    needs: str
    warning: str
    recovery: str
    recovery_interval: str
    regret: str
    regret_interval: str
    test_nll: str
    test_nll_final: str
    selection_nll: str
    best_lr: str
    lr_note: str
    rank: str
    scale: str
    placement: str
    trainable: str
    trainable_short: str
    trainable_ratio: str
    flops_ratio: str
    time_ratio: str
    seconds_per_step: str
    memory_ratio: str
    peak_memory: str
    adapter_bytes: str

    @property
    def words(self) -> tuple[str, str, str]:
        """What is said about the arm, beside its numbers."""
        return self.sentence, self.needs, self.warning


def badge(word: str) -> Badge:
    """The badge of a verdict word; a word we do not know is shown as it is, in a neutral tone."""
    return BADGES.get(word, Badge(word, "•", "quiet"))


def arms(document: Document) -> list[Arm]:
    """All arms, in the study's order, each with its ``batch`` (examples per step; older documents name one for all)."""
    common = document["results"]["training"]["batch"]
    return [{**arm, "batch": arm.get("batch") or common} for arm in document["results"]["arms"]]


def reference(document: Document) -> Arm | None:
    """The arm every other arm is measured against (normally full fine-tuning), or None."""
    return next((arm for arm in document["results"]["arms"] if arm["reference"]), None)


def reference_label(document: Document) -> str:
    """What to call the reference in a sentence."""
    arm = reference(document)
    if arm is None:
        return "the reference"
    return "full fine-tuning" if arm["method"] == "full" else str(arm["label"])


def stands_in(document: Document) -> bool:
    """Whether the study trained no full fine-tuning, so that its reference stands in for it."""
    return all(arm["method"] != "full" for arm in document["results"]["arms"])


def labels(arms: list[Arm]) -> dict[str, str]:
    """Arm name -> label, made unique: two arms with one label would share a line in a figure.

    Where an arm stands beside a copy of itself at another batch size, its own batch size is said too.
    """
    kin = {arm["name"] for family in batch_families(arms) for arm in family}
    said = {a["name"]: f"{a['label']}{_batch_words(a) if a['name'] in kin else ''}" for a in arms}
    seen = list(said.values())
    return {name: label if seen.count(label) == 1 else f"{label} ({name})" for name, label in said.items()}


def batch_families(arms: list[Arm]) -> list[list[Arm]]:
    """Groups of arms alike in all but batch size, each from the smallest batch up; none when no arm has such a kin."""
    groups: dict[tuple[Any, ...], list[Arm]] = {}
    for arm in arms:
        groups.setdefault((arm["method"], arm["rank"], arm["placement"], arm["formula"]), []).append(arm)
    return [
        sorted(group, key=lambda arm: arm["batch"])
        for group in groups.values()
        if 1 < len(group) == len({arm["batch"] for arm in group})
    ]


def family_label(family: list[Arm]) -> str:
    """What to call a family of :func:`batch_families`: its label without the batch size."""
    return str(family[0]["label"]).removesuffix(f", batch {family[0]['batch']}")


def _batch_words(arm: Arm) -> str:
    words = f", batch {arm['batch']}"
    return "" if str(arm["label"]).endswith(words) else words


def selection_nll(arm: Arm) -> float | None:
    """Selection NLL of the arm's best learning rate in the search (one seed, best checkpoint), or None."""
    scores = [
        float(run["selection_nll"])
        for run in arm["learning_rates"]
        if run["status"] == "done" and run["lr"] == arm["best_lr"] and wording.finite(run["selection_nll"])
    ]
    return sum(scores) / len(scores) if scores else None


def mean_of(runs: list[Mapping[str, Any]], key: str) -> float | None:
    """Mean of ``key`` over finished runs that have it, or None."""
    values = [float(run[key]) for run in runs if run["status"] == "done" and wording.finite(run.get(key))]
    return sum(values) / len(values) if values else None


def arm_views(document: Document) -> list[ArmView]:
    """All arms, in the study's order."""
    names = labels(arms(document))
    costs = document["cost"]["arms"]
    usual = next((arm["batch"] for arm in arms(document) if arm["reference"]), None)
    return [_view(arm, names[arm["name"]], costs.get(arm["name"], {}), usual) for arm in arms(document)]


def _view(arm: Arm, label: str, cost: Mapping[str, Any], usual: int | None) -> ArmView:
    verdict = arm["verdict"]
    return ArmView(
        name=arm["name"],
        label=label,
        formula=arm["formula"],
        badge=badge(verdict["word"]),
        sentence=verdict["sentence"],
        needs=verdict["needs"] or "",
        warning=" ".join(part for part in (_unequal(arm, usual), _trend(arm["trend"])) if part),
        recovery=wording.recovery(arm["recovery"]),
        recovery_interval=wording.recovery_interval(arm["recovery"]),
        regret=wording.regret(arm["regret"]),
        regret_interval=wording.regret_interval(arm["regret"]),
        test_nll=wording.nll(arm["test_nll"]),
        test_nll_final=wording.nll(mean_of(arm["fresh"], "test_nll_final")),
        selection_nll=wording.nll(selection_nll(arm)),
        best_lr=wording.learning_rate(arm["best_lr"]),
        lr_note=_lr_note(arm),
        rank=str(arm["rank"]) if arm["rank"] is not None else wording.MISSING,
        scale=_scale(arm),
        placement=arm["placement"] or wording.MISSING,
        trainable=wording.count(arm["trainable"]),
        trainable_short=wording.short_count(arm["trainable"]),
        trainable_ratio=wording.percent(cost.get("trainable_ratio")),
        flops_ratio=wording.percent(cost.get("flops_ratio")),
        time_ratio=wording.percent(cost.get("time_ratio")),
        seconds_per_step=_unit(cost.get("seconds_per_step"), "s"),
        memory_ratio=wording.percent(cost.get("memory_ratio")),
        peak_memory=wording.size(cost.get("peak_memory_bytes")),
        adapter_bytes=wording.size(cost.get("adapter_bytes")),
    )


def _scale(arm: Arm) -> str:
    """Alpha, alpha/r and the effective scale, always together: any one of them alone misleads."""
    if arm["alpha"] is None:
        return wording.MISSING
    alpha, ratio, scaling = (wording.plain(arm[key]) for key in ("alpha", "alpha_over_rank", "scaling"))
    return f"α {alpha} · α/r {ratio} · scale {scaling}"


def _lr_note(arm: Arm) -> str:
    if arm["best_lr"] is None:
        return "no run finished"
    if not arm["bracketed"]:
        return "edge of grid"
    return "grid widened" if arm["widened"] else ""


def _trend(trend: Mapping[str, Any] | None) -> str:
    if not trend or not trend["widening"]:
        return ""
    return (
        f"The gap is still widening by {trend['slope']:.3f} nats per 10 steps"
        f" (95% interval {trend['low']:.3f} to {trend['high']:.3f}): do not extrapolate to longer training."
    )


def _unequal(arm: Arm, usual: int | None) -> str:
    """A verdict between batch sizes compares unequal amounts of data."""
    if not arm["fresh"] or usual is None or arm["batch"] == usual:
        return ""
    return (
        f"At batch {arm['batch']} it saw {wording.plain(arm['batch'] / usual)} times the examples of the reference"
        f" (batch {usual}): part of this comparison is data, not method."
    )


def _unit(value: float | None, unit: str) -> str:
    return f"{value:.2g} {unit}" if value is not None and wording.finite(value) else wording.MISSING
