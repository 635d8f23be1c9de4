"""CoLoR: Continual Learning with Low Rank Adaptation, Wistuba et al., 2023, arXiv 2311.17601.

An adapter per task; k-means centroids of the untouched model's features of each task's training data; at inference the
nearest centroid of all tasks picks the adapter.

Deviations from the paper: language, so the feature is the mean of the last hidden states of the prompt, on the unit
sphere; no head per task; farther than ``abstain`` times the radius of the chosen task (see the router), the untouched
base answers (0: never).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankwise.continual.strategies.base import Answers, Strategy
from rankwise.errors import UsageError


@dataclass(frozen=True)
class CoLoR(Strategy):
    """Experts behind a centroid router."""

    name: ClassVar[str] = "color"
    title: ClassVar[str] = "CoLoR: Continual Learning with Low Rank Adaptation"
    arxiv: ClassVar[str] = "2311.17601"
    formula: ClassVar[str] = "W = W0 + s B_t A_t, t = argmin over tasks of the distance to k centroids"
    answers: ClassVar[Answers] = "router"
    k: int = 5
    abstain: float = 1.5

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise UsageError(f"color's k must be a whole number of at least 1 (centroids per task), found {self.k!r}.")
        if not 0 <= self.abstain < float("inf"):
            raise UsageError(f"color's abstain must be 0 (never) or a positive number, found {self.abstain!r}.")
