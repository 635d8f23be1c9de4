"""What a reader sees of each arm, as text: one place for the page and the terminal, so they cannot disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rankwise.report import wording
from rankwise.stats.verdict_words import (
    BEATS,
    FALLS_SHORT,
    KEEPS,
    MATCHES,
    NO_VERDICT,
    REFERENCE,
    SCREENED,
    UNDECIDED,
    ArmWord,
)
from rankwise.studies.results.schema import Arm as Arm  # readers take arms and documents from here
from rankwise.studies.results.schema import ArmCost, Fresh, Run, StudyDocument, Trend

Document = StudyDocument


@dataclass(frozen=True)
class Badge:
    """A verdict word with an icon and a tone, so that color is never the only carrier of meaning.

    Attributes:
        key: of :mod:`rankwise.stats.verdict_words`, which code compares.
        word: which people read.
    """

    key: str
    word: str
    icon: str
    tone: str


LOOKS: dict[ArmWord, tuple[str, str]] = {
    MATCHES: ("✓", "good"),
    BEATS: ("✓", "good"),
    KEEPS: ("✓", "good"),
    FALLS_SHORT: ("✗", "bad"),
    UNDECIDED: ("?", "unsure"),
    NO_VERDICT: ("–", "quiet"),
    SCREENED: ("○", "quiet"),
    REFERENCE: ("◆", "reference"),
}


@dataclass(frozen=True)
class ArmView:
    """What is said of one arm in several places; what only a table shows is said in :mod:`.columns`.

    Every field is plain text; an absent number is an en dash, an absent remark is empty.
    """

    name: str
    label: str
    formula: str
    badge: Badge
    sentence: str
    needs: str
    warning: str
    best_lr: str
    scale: str
    trainable_ratio: str
    flops_ratio: str
    time_ratio: str
    memory_ratio: str
    adapter_bytes: str

    @property
    def words(self) -> tuple[str, str, str]:
        """What is said about the arm, beside its numbers."""
        return self.sentence, self.needs, self.warning


def badge(key: str) -> Badge:
    """The badge of a verdict's word; a word we do not know is shown as it is, in a neutral tone."""
    for known, (icon, tone) in LOOKS.items():
        if known == key:
            return Badge(key, wording.VERDICTS[known], icon, tone)
    return Badge(key, key, "•", "quiet")


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


def margin_share(document: Document) -> float:
    """The share of the gain at which an arm's loss stands at the margin: where two bounds are set, the tighter one."""
    of_gain = 1.0 - document["results"]["study"]["margin"]
    allowed, arm = document["results"].get("allowed"), reference(document)
    loss = arm["test_nll"] if arm is not None else None
    if allowed is None or loss is None:
        return of_gain
    gain = document["results"]["base"]["test_nll"] - loss
    return 1.0 - allowed["nats"] / gain if gain > 0 else of_gain


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
    scores = [nll for run in arm["learning_rates"] if run["lr"] == arm["best_lr"] and (nll := score(run)) is not None]
    return sum(scores) / len(scores) if scores else None


def score(run: Run) -> float | None:
    """Selection NLL of a run that ended with a number, or None."""
    found = run["selection_nll"]
    return float(found) if run["status"] == "done" and found is not None and wording.finite(found) else None


def mean_of(runs: Sequence[Fresh], key: Literal["test_nll", "test_nll_final"]) -> float | None:
    """Mean of ``key`` over finished runs that have it, or None."""
    found = [run.get(key) for run in runs if run["status"] == "done"]
    values = [float(value) for value in found if value is not None and wording.finite(value)]
    return sum(values) / len(values) if values else None


def arm_views(document: Document) -> list[ArmView]:
    """All arms, in the study's order."""
    names = labels(arms(document))
    costs = document["cost"]["arms"]
    usual = next((arm["batch"] for arm in arms(document) if arm["reference"]), None)
    return [_view(arm, names[arm["name"]], costs.get(arm["name"], {}), usual) for arm in arms(document)]


def _view(arm: Arm, label: str, cost: ArmCost, usual: int | None) -> ArmView:
    verdict = arm["verdict"]
    return ArmView(
        name=arm["name"],
        label=label,
        formula=arm["formula"],
        badge=badge(verdict["word"]),
        sentence=verdict["sentence"],
        needs=verdict["needs"] or "",
        warning=" ".join(part for part in (_unequal(arm, usual), _trend(arm["trend"])) if part),
        best_lr=wording.learning_rate(arm["best_lr"]),
        scale=_scale(arm),
        trainable_ratio=wording.percent(cost.get("trainable_ratio")),
        flops_ratio=wording.percent(cost.get("flops_ratio")),
        time_ratio=wording.percent(cost.get("time_ratio")),
        memory_ratio=wording.percent(cost.get("memory_ratio")),
        adapter_bytes=wording.size(cost.get("adapter_bytes")),
    )


def _scale(arm: Arm) -> str:
    """Alpha, alpha/r and the effective scale, always together: any one of them alone misleads."""
    if arm["alpha"] is None:
        return wording.MISSING
    alpha, ratio, scaling = map(wording.plain, (arm["alpha"], arm["alpha_over_rank"], arm["scaling"]))
    return f"α {alpha} · α/r {ratio} · scale {scaling}"


def _trend(trend: Trend | None) -> str:
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
