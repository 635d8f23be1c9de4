"""The verdict on an arm: "matches or beats", "falls short", "undecided" or "no verdict", with its reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rankwise.stats.contrast import (
    Interval,
    clearly_positive,
    gain,
    margin_contrast,
    recovery,
    regret,
)
from rankwise.stats.crossed import Estimate
from rankwise.stats.multiplicity import claims
from rankwise.stats.planning import Needs, needs
from rankwise.stats.scores import Scores
from rankwise.stats.verdict_words import FALLS_SHORT, MATCHES, NO_VERDICT, UNDECIDED, Word

AT_EDGE = "its best learning rate is at the edge of its grid, so it may be trained worse than it could be"
_TAIL = 0.025  # each direction is a one-sided claim at 2.5 %: the ends of the 95 % interval


@dataclass(frozen=True)
class Verdict:
    """What may be said about one arm at one margin.

    ``reason`` is a clause ("its 95 % bound is below the margin", "the reference's learning rate was not bracketed").
    Intervals are 95 %, two-sided, for this arm alone; the word accounts for the other arms. ``contrast`` is D with
    its ``df`` and two-sided unadjusted ``p``. ``needs`` is set when undecided; its counts are None for never.
    """

    word: Word
    reason: str
    margin: float
    for_these_seeds: bool
    contrast: Interval | None
    df: float | None
    p: float | None
    gain: Interval
    regret: Interval
    recovery: Interval | None
    needs: Needs | None

    def sentence(self, arm: str, reference: str) -> str:
        """One sentence for a person, with the names of the arm and of the reference as given."""
        share = f"{100 * self.margin:g} %"
        scope = ", for these seeds" if self.for_these_seeds and self.word != NO_VERDICT else ""
        if self.word == NO_VERDICT:
            return f"No verdict on {arm}: {self.reason}."
        if self.word == UNDECIDED:
            text = f"Undecided whether {arm} matches {reference} at a {share} margin{scope}: {self.reason}."
            return text if self.needs is None else f"{text} If the estimate stays, it would take {self.needs}."
        kept = ""
        if self.recovery is not None:
            r = self.recovery
            kept = f": it recovers {100 * r.estimate:.1f} % [{100 * r.low:.1f}, {100 * r.high:.1f}] of the gain"
        does = "falls short of" if self.word == FALLS_SHORT else "matches or beats"
        return f"{arm} {does} {reference} at a {share} margin{scope}{kept}."


def summary(estimate: Estimate, level: float = 0.95) -> Interval:
    """Plain numbers of a single estimate."""
    low, high = estimate.interval(level)
    return Interval(float(estimate.estimate), float(low), float(high))


def judge(arm: Scores, reference: Scores, base: Scores, margin: float, *, bracketed: bool = True) -> Verdict:
    """Judge one arm alone. ``bracketed``: whether the reference's best learning rate lies inside its grid."""
    return judge_all({"arm": arm}, reference, base, margin, bracketed=bracketed)["arm"]


def judge_all(
    arms: Mapping[str, Scores],
    reference: Scores,
    base: Scores,
    margin: float,
    *,
    bracketed: bool = True,
    at_edge: Collection[str] = (),
    ladders: Sequence[Sequence[str]] = (),
) -> dict[str, Verdict]:
    """Judge several arms against one reference, keeping each kind of wrong claim at 2.5 % over all arms together.

    ``ladders``: sequences of arm names from the largest rank to the smallest. "matches or beats" is claimed from the
    top down and "falls short" from the bottom up, each until the first rank where it cannot be; other arms are
    corrected by Holm. ``at_edge``: arms whose own best rate lies at the edge of its grid; they get no verdict, but are
    counted, so that the words of the others do not depend on it. Raises UsageError for unknown names, margins outside
    [0, 1) or scores on other examples.
    """
    contrasts = {name: margin_contrast(arm, reference, base, margin) for name, arm in arms.items()}
    match = claims({n: float(c.p_below()) for n, c in contrasts.items()}, _TAIL, ladders)
    upward = [tuple(reversed(ladder)) for ladder in ladders]
    short = claims({n: float(c.p_above()) for n, c in contrasts.items()}, _TAIL, upward)
    bought = gain(reference, base)
    trained = clearly_positive(bought)
    out: dict[str, Verdict] = {}
    for name, arm in arms.items():
        d = contrasts[name]
        word: Word
        missing: Needs | None = None
        if not trained:
            word, reason = NO_VERDICT, "the reference did not clearly improve on the untrained model"
        elif not bracketed:
            word = NO_VERDICT
            reason = "the reference's best learning rate is at the edge of its grid, so it may be under-trained"
        elif name in at_edge:
            word, reason = NO_VERDICT, AT_EDGE
        elif name in match.allowed:
            word, reason = MATCHES, "the upper 95 % bound is below the margin"
        elif name in short.allowed:
            word, reason = FALLS_SHORT, "the lower 95 % bound is above the margin"
        else:
            level = (match if float(d.estimate) < 0 else short).levels[name]
            word, reason = UNDECIDED, _why_undecided(d, level)
            missing = needs(d, level) if level > 0 else None
        judged = trained and bracketed and name not in at_edge
        out[name] = Verdict(
            word=word,
            reason=reason,
            margin=margin,
            for_these_seeds=d.for_these_seeds,
            contrast=summary(d) if judged else None,
            df=float(d.df) if judged else None,
            p=float(d.p_value()) if judged else None,
            gain=summary(bought),
            regret=summary(regret(arm, reference, base)),
            recovery=recovery(arm, reference, base),
            needs=missing,
        )
    return out


def _decided_alone(d: Estimate, tail: float) -> bool:
    return bool(min(float(d.p_below()), float(d.p_above())) <= tail)


def _why_undecided(d: Estimate, level: float) -> str:
    if not _decided_alone(d, _TAIL):
        return "the 95 % interval reaches both sides of the margin"
    if level == 0:
        return "a rank before it on the ladder is undecided, and claims stop there"
    return "it would be decided alone, but not after correcting for the other arms"
