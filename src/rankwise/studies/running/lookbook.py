"""The record of looks at a study's fresh runs, in its ledger: which arms shared one error, what was said and spent.

Levels are a function of the seeds alone (:mod:`rankwise.stats.looks`), so a study that is continued finds the same
words again. The record is for what could change between two commands: arms that are added are a family of their own,
words once given hold, and a study that planned one look does not get a second one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rankwise.ledger.store import Ledger
from rankwise.stats.verdict_words import Word
from rankwise.studies.running.runner import Runner

Rates = Mapping[str, float]  # learning rate by arm name


@dataclass(frozen=True)
class Noted:
    """One look as it was recorded."""

    reference: Rates
    arms: Rates
    seeds: tuple[int, ...]
    horizon: int | None
    words: Mapping[str, Word]


def noted(ledger: Ledger) -> list[Noted]:
    """Return all looks in a ledger, in the order they were taken."""
    rows = [(run.spec["look"], run.result["words"]) for run in ledger.runs() if run.label == "look" and run.result]
    return [
        Noted(look["reference"], dict(look["arms"]), tuple(look["seeds"]), look["horizon"], words)
        for look, words in rows
        if "arms" in look
    ]


class LookBook:
    """Reads and writes the looks of one study, whose reference and arms have these learning rates."""

    def __init__(self, runner: Runner, reference: Rates, rates: Rates) -> None:
        self.runner, self.reference, self.rates = runner, dict(reference), rates
        self.earlier = [one for one in noted(runner.ledger) if self._is_ours(one)]

    def _is_ours(self, one: Noted) -> bool:
        """Whether a look was at the recipes as they are now: another rate of the reference makes other runs of it."""
        return one.reference == self.reference and all(self.rates.get(name) == lr for name, lr in one.arms.items())

    def families(self, finalists: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the arms that share one error: those looked at before as they were, new ones as one more family."""
        known = list(dict.fromkeys(tuple(one.arms) for one in self.earlier))
        new = tuple(name for name in finalists if all(name not in family for family in known))
        return [*known, new] if new else known

    def words(self, family: Sequence[str], seeds: Sequence[int]) -> Mapping[str, Word]:
        """Return what an earlier command said at this look; empty when it took none."""
        for one in self.earlier:
            if tuple(one.arms) == tuple(family) and one.seeds == tuple(seeds):
                return one.words
        return {}

    def keep(self, family: Sequence[str], seeds: Sequence[int], horizon: int | None, words: Mapping[str, Word]) -> None:
        """Record a look."""
        arms = [[name, self.rates[name]] for name in family]  # in this order: JSON keeps none of a mapping
        look = {"reference": self.reference, "arms": arms, "seeds": list(seeds), "horizon": horizon}
        self.runner.note_look({"look": look}, {"words": dict(words)})

    def stopped(self, seeds: int, seconds: float) -> bool:
        """Whether an earlier command ended after so many seeds because ``seconds`` were used up."""
        spelled = {"stopped": seeds, "seconds": seconds}
        return any(run.label == "look" and run.spec["look"] == spelled for run in self.runner.ledger.runs())

    def stop(self, seeds: int, seconds: float) -> None:
        """Record that: the same command ends there again, whatever its clock says."""
        self.runner.note_look({"look": {"stopped": seeds, "seconds": seconds}}, {"words": {}})
