"""What a run leaves behind."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rankwise.engine.evaluation.evaluate import Score


@dataclass
class RunResult:
    """Plain JSON by :meth:`to_dict`, identical after a resume.

    Attributes:
        status: "done"; "diverged" when the loss or a score stopped being finite; "paused" at ``until``; "failed" after
            a fault (packs only, :func:`rankwise.engine.train` raises it). ``reason`` says where.
        curve: (step, selection NLL) at every evaluation.
        losses: training loss of every step, without penalties.
        penalties: by name, the weighted penalty of every step.
        events: one record per firing: event, step, moment and what changed.
        spectrum: by module, rank and effective rank of the total update at the last step, when they were asked for.
        flops: useful training operations.
        selection: per-example score at the best step.
        test, test_final: per-example scores at the best and at the last step, when the test split was asked for.
        right: per question of the quiz, whether the reply at the best step was right, when there was a quiz.
    """

    status: Literal["done", "diverged", "paused", "failed"] = "done"
    reason: str | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    best_step: int | None = None
    trainable: int = 0
    examples: int = 0
    tokens: int = 0
    targets: int = 0
    flops: int = 0
    selection: Score | None = None
    test: Score | None = None
    test_final: Score | None = None
    right: tuple[bool, ...] | None = None
    penalties: dict[str, list[float]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    spectrum: dict[str, dict[str, float]] | None = None

    @property
    def selection_nll(self) -> float | None:
        """Selection NLL at the best step."""
        return self.selection.mean if self.selection else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> RunResult:
        """Build from :meth:`to_dict`'s form (after a trip through JSON)."""
        scores = {k: Score(tuple(v["nll"]), tuple(v["targets"])) for k, v in value.items() if k in _SCORES and v}
        curve = [(int(step), float(nll)) for step, nll in value["curve"]]
        right = value.get("right")  # ledgers older than the quiz have none
        return cls(**{**value, "curve": curve, **scores, "right": None if right is None else tuple(right)})


_SCORES = ("selection", "test", "test_final")
