"""The verdict on an arm: "matches", "beats", "falls short", "undecided" or "no verdict", with its reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rankwise.stats.contrast import Interval, clearly_positive, gain, recovery, regret
from rankwise.stats.crossed import Estimate
from rankwise.stats.looks import ONCE, Look
from rankwise.stats.margin import Margin
from rankwise.stats.multiplicity import Claims, claims
from rankwise.stats.planning import MOST_LOOKS, Needs, needs, predictive_power, together
from rankwise.stats.scores import Scores
from rankwise.stats.verdict_words import BEATS, CLAIMS, FALLS_SHORT, KEEPS, MATCHES, NO_VERDICT, UNDECIDED, Word

AT_EDGE = "its best learning rate is at the edge of its grid, so it may be trained worse than it could be"
ERROR = 0.025  # of each kind of claim, over all arms and all looks: one-sided, the ends of a 95 % interval


@dataclass(frozen=True)
class Verdict:
    """What may be said about one arm at one margin.

    ``reason`` is a clause ("its bound is below the margin", "the reference's learning rate was not bracketed").
    Intervals are two-sided and of this arm alone; the word accounts for the other arms. Their ends are the bounds of
    the ``look``: 95 % where it is the only one, and wider in a sequential design, where all looks together hold 95 %.
    ``contrast`` is ``keeps`` of the margin, with its ``df`` and two-sided unadjusted ``p``; ``close`` is the other
    one, if it is asked for. ``chance`` is the probability that the arm matches under flat priors: one less the larger
    one-sided p-value. ``needs`` is set when undecided; its counts are None for never.
    """

    word: Word
    reason: str
    margin: Margin
    look: Look
    for_these_seeds: bool
    contrast: Interval | None
    close: Interval | None
    df: float | None
    p: float | None
    chance: float | None
    gain: Interval
    regret: Interval
    recovery: Interval | None
    needs: Needs | None

    def sentence(self, arm: str, reference: str) -> str:
        """One sentence for a person, with the names of the arm and of the reference as given."""
        scope = ", for these seeds" if self.for_these_seeds and self.word != NO_VERDICT else ""
        if self.look.horizon is not None:
            scope = f" after {self.look.seeds} fresh seeds"
        if self.word == NO_VERDICT:
            return f"No verdict on {arm}: {self.reason}."
        if self.word == UNDECIDED:
            text = f"Undecided whether {arm} matches {reference} ({self.margin}){scope}: {self.reason}."
            return text if self.needs is None else f"{text} If the estimate stays, it would take {self.needs}."
        kept = ""
        if self.recovery is not None:
            r = self.recovery
            kept = f": it recovers {100 * r.estimate:.1f} % [{100 * r.low:.1f}, {100 * r.high:.1f}] of the gain"
        if self.word == KEEPS:
            return f"{arm} keeps at least {100 * (1 - self.margin.gain):g} % of {reference}'s gain{scope}{kept}."
        does = {MATCHES: "matches", BEATS: "beats", FALLS_SHORT: "falls short of"}[self.word]
        if self.word == FALLS_SHORT and self.close is not None and self.contrast is not None:
            why = (
                "part of the gain is lost" if self.contrast.low > 0 else "its loss is noticeably above the reference's"
            )
            return f"{arm} {does} {reference}{scope}: {why}{kept.replace(': it', '; it')}."
        return f"{arm} {does} {reference}{scope}{kept}."


def summary(estimate: Estimate, level: float = 0.95) -> Interval:
    """Plain numbers of a single estimate."""
    low, high = estimate.interval(level)
    return Interval(float(estimate.estimate), float(low), float(high))


def judge(
    arm: Scores,
    reference: Scores,
    base: Scores,
    margin: Margin | float,
    *,
    bracketed: bool = True,
    look: Look = ONCE,
) -> Verdict:
    """Judge one arm alone. ``bracketed``: whether the reference's best learning rate lies inside its grid."""
    return judge_all({"arm": arm}, reference, base, margin, bracketed=bracketed, look=look)["arm"]


def judge_all(
    arms: Mapping[str, Scores],
    reference: Scores,
    base: Scores,
    margin: Margin | float,
    *,
    bracketed: bool = True,
    at_edge: Collection[str] = (),
    ladders: Sequence[Sequence[str]] = (),
    look: Look = ONCE,
    earlier: Mapping[str, Word] | None = None,
) -> dict[str, Verdict]:
    """Judge several arms against one reference, keeping each kind of wrong claim at 2.5 % over all arms together.

    The kinds are "matches" (both contrasts of the margin below 0: an intersection-union test), "falls short" (either
    above 0, at half the level each) and "beats" (said of arms that match, when the regret is below 0).

    ``ladders``: sequences of arm names from the largest rank to the smallest. "matches" is claimed from the
    top down and "falls short" from the bottom up, each until the first rank where it cannot be; other arms are
    corrected by Holm. ``at_edge``: arms whose own best rate lies at the edge of its grid; they get no verdict, but are
    counted, so that the words of the others do not depend on it. ``look``: of a sequential design, if it is one: every
    level stands for the level of this look (Maurer and Bretz 2013: graphs over group-sequential tests). ``earlier``:
    words of earlier looks. Claims hold, and what they passed on is passed on; of an arm that is not in ``arms`` any
    more, nothing else can be claimed.
    ``margin``: a number is a share of the gain alone. Raises UsageError for unknown names, margins out of range or
    scores on other examples.
    """
    margin = margin if isinstance(margin, Margin) else Margin(margin)
    earlier = earlier or {}
    guard, shown = look.seed_bound, 1 - 2 * look.level(ERROR)
    contrasts = {name: margin.contrasts(arm, reference, base, seed_bound=guard) for name, arm in arms.items()}
    regrets = {name: regret(arm, reference, base, seed_bound=guard) for name, arm in arms.items()}
    parts = 1 if margin.loss is None else 2
    # Of several looks none claims "for these seeds"; and who has no bracketed rate is no hypothesis of theirs.
    few = {n for n, found in contrasts.items() if look.horizon is not None and found[0].for_these_seeds}
    counted = {n: found for n, found in contrasts.items() if look.horizon is None or n not in at_edge}
    downward = [tuple(n for n in ladder if n in counted or n in earlier) for ladder in ladders]
    upward = [tuple(reversed(ladder)) for ladder in downward]

    def held(*words: Word) -> dict[str, float]:
        settled = {n: word for n, word in earlier.items() if n not in arms or word in CLAIMS}
        return {name: 0.0 if word in words else 1.0 for name, word in settled.items()}

    match = claims(
        {n: 1.0 if n in few else max(float(c.p_below()) for c in found) for n, found in counted.items()}
        | held(MATCHES, BEATS, KEEPS),
        ERROR,
        downward,
        level=look.level,
    )
    short = claims(
        {n: 1.0 if n in few else min(float(c.p_above()) for c in found) for n, found in counted.items()}
        | held(FALLS_SHORT),
        ERROR,
        upward,
        level=lambda error: look.level(error / parts),
    )
    beat = claims(
        {n: 1.0 if n in few else float(regrets[n].p_below()) for n in counted} | held(BEATS),
        ERROR,
        downward,
        level=look.level,
    )
    bought = gain(reference, base, seed_bound=guard)
    trained = clearly_positive(bought)
    out: dict[str, Verdict] = {}
    for name, arm in arms.items():
        found = contrasts[name]
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
            word = KEEPS if margin.loss is None else BEATS if name in beat.allowed else MATCHES
            reason = "the upper bound is below the margin"
        elif name in short.allowed:
            word, reason = FALLS_SHORT, "the lower bound is above the margin"
        elif name in few:
            word, reason = UNDECIDED, "fewer than three of its runs, or of the reference's, ended well"
        else:
            word, reason = UNDECIDED, _why_undecided(found, name, look, match, short)
            missing = _needs(found, look, match.levels[name], short.levels[name] / parts)
        judged = trained and bracketed and name not in at_edge
        keeps = found[0]
        out[name] = Verdict(
            word=word,
            reason=reason,
            margin=margin,
            look=look,
            for_these_seeds=keeps.for_these_seeds,
            contrast=summary(keeps, shown) if judged else None,
            close=summary(found[1], shown) if judged and len(found) > 1 else None,
            df=float(keeps.df) if judged else None,
            p=float(keeps.p_value()) if judged else None,
            chance=1 - max(float(c.p_below()) for c in found) if judged else None,
            gain=summary(bought, shown),
            regret=summary(regrets[name], shown),
            recovery=recovery(arm, reference, base, shown, seed_bound=guard),
            needs=missing,
        )
    return out


def chance_to_decide(
    arm: Scores, reference: Scores, base: Scores, margin: Margin, *, look: Look, last: Look, error: float = ERROR
) -> float:
    """Chance that one look after ``look``, up to ``last``, decides an arm alone, either way: the best of them.

    Futility may rest on it: stopping for it claims nothing, so it costs no error and need not be obeyed.
    """
    found = margin.contrasts(arm, reference, base, seed_bound=look.seed_bound)
    best = 0.0
    for seeds in range(look.seeds + 1, min(last.seeds, look.seeds + MOST_LOOKS) + 1):
        then, more = Look(seeds, last.horizon), seeds - look.seeds
        below = min(predictive_power(c, more, then.level(error))[0] for c in found)
        above = max(predictive_power(c, more, then.level(error / len(found)))[1] for c in found)
        best = max(best, below + above)
    return min(best, 1.0)


def _needs(found: Sequence[Estimate], look: Look, match: float, short: float) -> Needs | None:
    """What would decide: all contrasts below 0, or one of those above 0; None where a ladder is waited for."""
    above = [c for c in found if float(c.estimate) >= 0]
    error = short if above else match
    if error == 0:
        return None
    tail = error if look.horizon is None else lambda seeds: Look(seeds, look.horizon).level(error)
    plans = [needs(c, tail) for c in above or found]
    if not above:
        return together(plans)
    return min(plans, key=lambda plan: (plan.more_seeds is None, plan.more_seeds or 0))


def _why_undecided(found: Sequence[Estimate], name: str, look: Look, match: Claims, short: Claims) -> str:
    below = max(float(c.p_below()) for c in found) <= look.level(ERROR)
    above = min(float(c.p_above()) for c in found) <= look.level(ERROR / len(found))
    if not below and not above:
        if len(found) == 1 and look.horizon is None:
            return "the 95 % interval reaches both sides of the margin"
        return "what was measured does not put it clearly on one side of the margin"
    if (match if below else short).levels[name] == 0:
        return "a rank before it on the ladder is undecided, and claims stop there"
    return "it would be decided alone, but not after correcting for the other arms"
