"""What an arm may lose and still match: a share of the gain, and a share of the reference's own loss.

A share of the gain alone can mean nothing: where the untouched model is far off, nearly all of the gain is the form
of the answers. On one multiple-choice set full fine-tuning reached 0.217 nats per token and LoRA of rank 1 0.356,
64 % above, and had kept 95 % of the gain. So two things must hold, each a linear contrast:

    keeps = NLL(arm) - (1 - gain) NLL(reference) - gain NLL(base)      below 0: it keeps at least 1 - gain of the gain
    close = NLL(arm) - (1 + loss) NLL(reference) - floor               below 0: nobody would notice the difference

The values, 5 %, 10 % and 0.01 nats, were fixed before any study was judged by them. 10 %: at 0.3 nats, a usual loss
of answers learned well, it is 0.03 nats, 3 % of perplexity. 0.01 nats is 1 % of perplexity: without it a set learned
by heart, where the reference's loss is nearly 0, could be matched by nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rankwise.errors import UsageError
from rankwise.stats.contrast import contrast, margin_contrast
from rankwise.stats.crossed import SEED_BOUND, Estimate
from rankwise.stats.scores import Scores


@dataclass(frozen=True)
class Margin:
    """What an arm may lose and still match.

    Attributes:
        gain: share of the reference's gain, in [0, 1).
        loss: share of the reference's own loss that the arm may lie above it, not negative; None: not asked.
        floor: nats per token that it may lie above it besides, not negative.

    Raises:
        UsageError: a number outside its range.
    """

    gain: float
    loss: float | None = None
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.gain < 1:
            raise UsageError(f"margin must be at least 0 and below 1 (a share of the gain), found {self.gain}.")
        for name, value in (("loss", self.loss or 0.0), ("floor", self.floor)):
            if not 0 <= value < math.inf:
                raise UsageError(f"the margin's {name} must be at least 0 and finite, found {value}.")

    def contrasts(
        self, arm: Scores, reference: Scores, base: Scores, *, seed_bound: float = SEED_BOUND
    ) -> tuple[Estimate, ...]:
        """Return ``keeps`` and, where it is asked for, ``close``; an arm matches when both are below 0."""
        keeps = margin_contrast(arm, reference, base, self.gain, seed_bound=seed_bound)
        if self.loss is None:
            return (keeps,)
        weights = (1.0, -(1.0 + self.loss), 0.0)
        return keeps, contrast(arm, reference, base, weights, offset=-self.floor, seed_bound=seed_bound)

    def nats(self, reference: float, base: float) -> float:
        """Return how far above the reference's NLL an arm may lie, nats per token, given both NLLs."""
        of_gain = self.gain * (base - reference)
        return of_gain if self.loss is None else min(of_gain, self.loss * reference + self.floor)

    def __str__(self) -> str:
        kept = f"at least {100 * (1 - self.gain):g} % of the gain kept"
        if self.loss is None:
            return kept
        floor = f" and {self.floor:g} nats" if self.floor else ""
        return f"{kept}, and a loss at most {100 * self.loss:g} %{floor} above the reference's"
