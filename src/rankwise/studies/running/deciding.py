"""Looks at a study's fresh runs: once, or after every seed from the third on until no further one is worth its time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from rankwise.engine import Score
from rankwise.stats.crossed import FEWEST_SEEDS
from rankwise.stats.looks import Look
from rankwise.stats.scores import Scores
from rankwise.stats.verdict import ERROR, Verdict, chance_to_decide, judge_all
from rankwise.stats.verdict_words import CLAIMS, NO_VERDICT, UNDECIDED
from rankwise.studies.config import StudyConfig
from rankwise.studies.running.lookbook import LookBook
from rankwise.studies.running.outcome import ArmOutcome, Decisions, Taken, arm_scores, finished

HOPELESS = 0.1  # chance of a decision at the limit below which further seeds are futile


class Deciding:
    """The looks at the finalists of one study.

    Args:
        arms: outcomes by name; their fresh runs are read at each look.
        base_test: the untouched model's scores.
        book: the record of looks.

    Attributes:
        found: what was said so far.
    """

    def __init__(
        self,
        config: StudyConfig,
        arms: Mapping[str, ArmOutcome],
        finalists: Iterable[str],
        base_test: Score,
        book: LookBook,
    ) -> None:
        self.config, self.arms, self.book = config, arms, book
        self.tokens, self.base = base_test.targets, Scores.without_seed(base_test.nll, base_test.targets)
        self.reference = arms[config.reference_arm.name]
        self.found = Decisions(families=book.families(list(finalists)), elsewhere=book.elsewhere)
        self.futile: set[str] = set()

    @property
    def finalists(self) -> list[str]:
        """Every arm that is judged, those of earlier commands too."""
        return [name for family in self.found.families for name in family]

    def look(self, count: int, going: Collection[str]) -> None:
        """Judge the arms ``going`` by their first ``count`` fresh seeds; a claim once made stays as it was made."""
        seeds = self.config.fresh_seeds[:count]
        reference = arm_scores(self.reference, self.tokens, seeds)
        if reference is None:
            return
        look = self._at(count)
        for number, family in enumerate(self.found.families, 1):
            scored = {
                n: arm_scores(self.arms[n], self.tokens, seeds) for n in family if n in going and not self._told(n)
            }
            arms = {name: scores for name, scores in scored.items() if scores is not None}
            if arms:
                self._judge(number, family, arms, reference, look, seeds)

    def _told(self, name: str) -> bool:
        return name in self.found.verdicts and self.found.verdicts[name].word in CLAIMS

    def _judge(
        self,
        number: int,
        family: tuple[str, ...],
        arms: dict[str, Scores],
        reference: Scores,
        look: Look,
        seeds: tuple[int, ...],
    ) -> None:
        config, verdicts = self.config, self.found.verdicts
        # Ladders are for one look: a rung that is given up would keep the ones after it waiting for ever.
        ladder = _ladder(config, arms) if look.horizon is None else []
        left = (name for name in family if name in verdicts and name not in arms)
        told = {name: verdicts[name].word for name in left if verdicts[name].word != NO_VERDICT}
        # Words of an earlier command hold, even if it went on with other arms than this one and had more to spend.
        told |= {name: word for name, word in self.book.words(family, seeds).items() if word in CLAIMS}
        found = judge_all(
            arms,
            reference,
            self.base,
            config.judged_by,
            bracketed=self.reference.bracketed,
            at_edge=[name for name in arms if not self.arms[name].bracketed],
            ladders=[ladder] if len(ladder) > 1 else [],
            look=look,
            earlier=told,
        )
        for name, verdict in found.items():
            self.futile.discard(name)
            verdicts[name] = verdict
            if look.horizon is not None and verdict.word == UNDECIDED and look.seeds < len(config.fresh_seeds):
                verdicts[name] = self._unless_futile(name, verdict, arms[name], reference, look)
        words = {name: verdicts[name].word for name in family if name in verdicts}
        taken = Taken(number, look.seeds, look.level(ERROR), look.spent(ERROR), words)
        self.found.taken.append(taken)
        self.book.keep(family, seeds, look.horizon, taken)

    def _unless_futile(self, name: str, verdict: Verdict, arm: Scores, reference: Scores, look: Look) -> Verdict:
        last = self._at(len(self.config.fresh_seeds))
        chance = chance_to_decide(arm, reference, self.base, self.config.judged_by, look=look, last=last)
        if chance >= HOPELESS:
            return verdict
        self.futile.add(name)
        few = "under 1 %" if chance < 0.01 else f"about {100 * chance:.0f} %"
        return replace(verdict, reason=f"going on to {last.seeds} seeds would decide it with a chance of {few}")

    def open(self) -> list[str]:
        """Return the arms that another seed may decide."""
        return [name for name in self.finalists if self._is_open(name) and name not in self.futile]

    def unsettled(self) -> list[str]:
        """Return the arms on which a seed might say more, hopeful or not."""
        return [name for name in self.finalists if self._is_open(name)]

    def _is_open(self, name: str) -> bool:
        verdict = self.found.verdicts.get(name)
        if verdict is None:  # all runs so far failed: of the arm for good, of the reference maybe not
            return not self.found.verdicts and bool(finished(self.arms[name]))
        # No seed puts a rate inside its grid, nor makes a reference that does not improve a yardstick.
        hopeful = self.reference.bracketed and self.arms[name].bracketed and verdict.gain.estimate > 0
        return verdict.word == UNDECIDED or (verdict.word == NO_VERDICT and hopeful)

    def may_go_on(self, count: int, allowed: bool) -> bool:
        """Return whether the time limit lets a round begin after ``count`` seeds; the same command ends there again."""
        if count < max(self.config.at_least, self.book.furthest):  # asked for, or looked at before
            return True
        budget = self.config.budget
        seconds = budget.seconds if budget else self.config.limit_seconds
        if seconds is None:
            return True
        if self.book.stopped(count, seconds):
            return False
        if not allowed:
            self.book.stop(count, seconds)
        return allowed

    def _at(self, count: int) -> Look:
        return Look(count, self.config.horizon if self.config.until == "decided" else None)

    @property
    def first(self) -> int:
        """Seeds before the first look."""
        return FEWEST_SEEDS if self.config.until == "decided" else len(self.config.fresh_seeds)


def _ladder(config: StudyConfig, names: Collection[str]) -> list[str]:
    """Return LoRA arms on all linear layers from the largest rank down: one fixed sequence, no price per rank."""
    ranks = {arm.name: int(arm.options.get("rank", 16)) for arm in config.arms if arm.name in names and arm.is_rung}
    return sorted(ranks, key=lambda name: -ranks[name])
