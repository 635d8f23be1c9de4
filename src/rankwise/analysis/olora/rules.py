"""How ``analyze olora`` decides: words from a sign test over duels, and what the lead of OLoRA's start is due to."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from rankwise.analysis.finding import Word, decide
from rankwise.analysis.measures.wins import MARGIN, Count

CLAIM = (
    "OLoRA ends ahead of LoRA in most cells, 53 of 60 models x tasks x ranks, and converges faster (arXiv 2406.01775)."
)
UNLIKELY = 0.05  # how often chance alone may bring a word
REACH = 0.9  # of LoRA's gain over the untouched model: the loss that "faster" is read at
MOST = 2 / 3
CELLS = 2  # that a control must have been trained in beside OLoRA before the ablation favors anything
MANY = 1000  # duels: beyond this no number is named
TEST = (
    f"a sign test over the duels that somebody wins (two-sided, at {UNLIKELY:.0%}) must favor OLoRA, and it must win "
    "more than half of all duels; it does not hold if the test favors LoRA; otherwise it is undecided (with 6 duels "
    "only 6 of 6 decides). A tie counts for neither."
)
RULE = (
    "A duel is one cell and rank. It is won by the lower loss, OLoRA's and LoRA's each at its own best learning rate, "
    f"if they differ by more than {MARGIN:.0%} of the better one's gain over the untouched model; else it is a tie. "
    "Where the best rate of one of the two is the lowest or the highest it tried, there is no verdict on the duel. "
    f"For the claim to hold {TEST} Faster has a word of its own by the same test: a duel is won by who first comes "
    f"down to {REACH:.0%} of LoRA's gain, the step interpolated between scored ones, by more than half the distance of "
    "two scored steps; never is a loss."
)


def ahead(count: Count) -> Word:
    """Return the word of "ahead in most": unlikely by chance, and more than half of all duels won."""
    unlikely = count.p <= UNLIKELY
    return decide(unlikely and 2 * count.wins > count.cells, unlikely and count.losses > count.wins)


def needed(count: Count) -> int | None:
    """Return how many duels at the shares of ``count`` would bring a word, rounded against it; None above ``MANY``.

    Raises:
        ValueError: no duels.
    """
    if not count.cells:
        raise ValueError("no duels have no shares")
    for n in range(count.cells, MANY + 1):
        low, high = count.wins * n // count.cells, count.losses * n // count.cells
        if count.wins >= count.losses:
            high = math.ceil(count.losses * n / count.cells)
        else:
            low = math.ceil(count.wins * n / count.cells)
        if low + high <= n and ahead(Count(low, high, n - low - high)) != "undecided":
            return n
    return None


def odds(count: Count) -> str:
    """Say how likely a count is by chance, and how many duels an undecided one would need."""
    told = f"sign test: p = {count.p:.2g}"
    if not count.cells or ahead(count) != "undecided":
        return told
    n = needed(count)
    if n is not None:
        return f"{told}; at these shares about {n} duels would decide it"
    if count.wins == count.losses:
        why = "an even split"
    else:
        why = "wins in at most half of all" if 2 * count.wins <= count.cells else "so small a lead"
    return f"{told}; {why} would decide nothing with up to {MANY:,} duels"


def favored(leads: Mapping[str, Sequence[float]], wins: int, edges: int = 0) -> str:
    """Say which explanation of OLoRA's lead the controls' leads favor.

    Args:
        leads: NLL of LoRA minus that of ``olora``, ``orthonormal`` and ``spectrum``, in the same cells at one rank.
        wins: cells of these in which OLoRA is ahead beyond the margin; fewer than 2/3 are no lead to explain.
        edges: cells of these in which a best rate is at the edge of its grid.
    """
    cells = len(leads["olora"])
    if cells < CELLS:
        return "one cell is too few to favor an explanation"
    if edges:
        return f"in {edges} of these {cells} a best rate is at the edge of its grid, so no explanation is favored"
    means = {name: statistics.mean(values) for name, values in leads.items()}
    if wins < MOST * cells or means["olora"] <= 0:
        return (
            f"OLoRA is ahead by more than the margin in {wins} of {cells} of these, so there is no lead to explain "
            "(that takes 2/3)"
        )
    if means["orthonormal"] >= MOST * means["olora"]:
        return "orthonormality and loudness alone bring at least 2/3 of the lead: W's own factors are not the reason"
    if means["spectrum"] >= MOST * means["olora"]:
        return "with the start's singular values, but not W's directions, at least 2/3 of the lead is there"
    return "neither control brings 2/3 of the lead: W's directions are the reason"
