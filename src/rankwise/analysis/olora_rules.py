"""How ``analyze olora`` decides: words from counts of cells x ranks, and what the lead of OLoRA's start is due to."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from rankwise.analysis.finding import Word, decide, decide_share
from rankwise.analysis.measures.wins import Count, count_wins

CLAIM = (
    "OLoRA ends ahead of LoRA in most cells, 53 of 60 models x tasks x ranks, and converges faster (arXiv 2406.01775)."
)
ENOUGH = 4  # cells x ranks that a word needs
MOST = 2 / 3
CELLS = 2  # that a control must have been trained in beside OLoRA before the ablation favors anything


def ahead(count: Count) -> Word:
    """Return the word of "OLoRA has the lower loss in most": a win is strict, ties count for LoRA."""
    return decide_share(count.share) if count.cells >= ENOUGH else "undecided"


def sooner(count: Count) -> Word:
    """Return the word of "OLoRA converges faster": ties, which the few scored steps make likely, are nobody's."""
    if count.cells < ENOUGH:
        return "undecided"
    return decide(count.wins >= MOST * count.cells, count.losses >= MOST * count.cells)


def count_steps(pairs: Iterable[tuple[int | None, int | None]]) -> Count:
    """Count who reaches a loss at the earlier step (challenger's step, baseline's); None, never reached, loses."""
    return count_wins((_late(own), _late(other)) for own, other in pairs)


def favored(leads: Mapping[str, Sequence[float]]) -> str:
    """Say which explanation of OLoRA's lead the controls' leads favor.

    Args:
        leads: NLL of LoRA minus that of ``olora``, ``orthonormal`` and ``spectrum``, in the same cells at one rank.
    """
    cells = len(leads["olora"])
    if cells < CELLS:
        return "one cell is too few to favor an explanation"
    means = {name: statistics.mean(values) for name, values in leads.items()}
    if means["olora"] <= 0:
        return "OLoRA has no lead at this rank, so there is nothing to explain"
    if means["orthonormal"] >= MOST * means["olora"]:
        return "orthonormality and loudness alone bring at least 2/3 of the lead: W's own factors are not the reason"
    if means["spectrum"] >= MOST * means["olora"]:
        return "with W's singular values, but not its directions, at least 2/3 of the lead is there"
    return "neither control brings 2/3 of the lead: W's directions are the reason"


def _late(step: int | None) -> float:
    return math.inf if step is None else float(step)
