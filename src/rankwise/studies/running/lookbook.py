"""The record of looks at a study's fresh runs, in its ledger: which arms shared one error, what was said and spent.

Levels are a function of the seeds alone (:mod:`rankwise.stats.looks`), so a study that is continued finds the same
words again. The record is for what could change between two commands: arms that are added are a family of their own,
words once given hold, and a study that planned one look does not get a second one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rankwise.ledger.store import Ledger
from rankwise.stats.verdict_words import Word
from rankwise.studies.running.outcome import Taken
from rankwise.studies.running.runner import Runner

Rates = Mapping[str, float]  # learning rate by arm name
KeyOf = Callable[[Mapping[str, Any]], str]  # the key of a row on one base and data


@dataclass(frozen=True)
class Noted:
    """One look as it was recorded."""

    reference: Rates
    arms: Rates
    seeds: tuple[int, ...]
    horizon: int | None
    words: Mapping[str, Word]


def noted(ledger: Ledger, key_of: KeyOf) -> list[Noted]:
    """Return the looks at the base and data of ``key_of``, in the order they were taken."""
    rows = [run for run in ledger.runs() if run.label == "look" and run.result and run.key == key_of(run.spec)]
    found = [(run.spec["look"], run.result["words"]) for run in rows if run.result and "arms" in run.spec["look"]]
    return [
        Noted(look["reference"], dict(look["arms"]), tuple(look["seeds"]), look["horizon"], words)
        for look, words in found
    ]


class LookBook:
    """Reads and writes the looks of one study, whose reference and arms have these learning rates.

    Attributes:
        earlier: looks at the recipes as they are now. An arm whose rate has changed since is new; where the
            reference's has, all are.
        elsewhere: how many looks there were at other recipes only.
    """

    def __init__(self, runner: Runner, reference: Rates, rates: Rates) -> None:
        self.runner, self.reference, self.rates = runner, dict(reference), rates
        runner.looks.clear()  # kept back for a plan that this one replaces
        looks = noted(runner.ledger, runner.look_key)
        self.earlier = [replace(one, arms=self._same(one)) for one in looks if self._same(one)]
        self.elsewhere = len(looks) - len(self.earlier)

    def _same(self, one: Noted) -> Rates:
        """The arms of a look whose rates are what they are now."""
        if one.reference != self.reference:
            return {}
        return {name: lr for name, lr in one.arms.items() if self.rates.get(name) == lr}

    @property
    def furthest(self) -> int:
        """Seeds of the widest look so far."""
        return max((len(one.seeds) for one in self.earlier), default=0)

    def families(self, finalists: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the arms that share one error: those looked at before as they were, new ones as one more family."""
        known: list[tuple[str, ...]] = []
        for one in self.earlier:
            family = tuple(name for name in one.arms if all(name not in other for other in known))
            known += [family] if family else []
        new = tuple(name for name in finalists if all(name not in family for family in known))
        return [*known, new] if new else known

    def words(self, family: Sequence[str], seeds: Sequence[int]) -> Mapping[str, Word]:
        """Return what an earlier command said at this look of arms of the family; empty when it took none."""
        said: dict[str, Word] = {}
        for one in self.earlier:
            if one.seeds == tuple(seeds):
                said |= {name: word for name, word in one.words.items() if name in family and name in one.arms}
        return said

    def keep(self, family: Sequence[str], seeds: Sequence[int], horizon: int | None, taken: Taken) -> None:
        """Record a look."""
        arms = [[name, self.rates[name]] for name in family]  # in this order: JSON keeps none of a mapping
        look = {"reference": self.reference, "arms": arms, "seeds": list(seeds), "horizon": horizon}
        said = {"words": dict(taken.words), "level": taken.level, "spent": taken.spent}
        # Of one planned look a budget may change the plan until the command ends: it is the last one that counts.
        self.runner.note_look({"look": look}, said, now=horizon is not None)

    def stopped(self, seeds: int, seconds: float) -> bool:
        """Whether an earlier command ended after so many seeds because ``seconds`` were used up."""
        spelled = {"stopped": seeds, "seconds": seconds}
        return self.runner.ledger.get(self.runner.look_key({"look": spelled})) is not None

    def stop(self, seeds: int, seconds: float) -> None:
        """Record that: the same command ends there again, whatever its clock says."""
        self.runner.note_look({"look": {"stopped": seeds, "seconds": seconds}}, {"words": {}}, now=True)
