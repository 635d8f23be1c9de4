"""``--budget 20m``: fits a study into a time by leaving things out, in a fixed order, and says what.

The order, each step only while the estimate is too long:
1. fresh seeds beyond three;
2. arms that would get no fresh seeds are stopped early (search ``halving``);
3. finalists beyond one;
4. learning rates of an adapter beyond three, those furthest from the middle first;
5. the fitted optimum;
6. the third fresh seed: the verdict then holds for two seeds, and says so (not where seeds are added until all is
   decided: then the clock says when the last round of seeds begins, and points 1 and 6 do not apply);
7. adapter arms down to two: those that are not LoRA on all linear layers, the last one first, then the lowest rank;
8. steps, by halves, down to half of those asked for;
9. the second adapter arm (before 8 where seeds are added until all is decided); then steps again, down to a quarter.
The reference keeps all its rates, since without a bracketed reference there is no verdict. The clock decides which
runs are made; it never changes a run's numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rankwise.errors import UsageError
from rankwise.studies.config import Arm, Budget, StudyConfig, parse_config
from rankwise.studies.search.halving import rung_steps

SEEDS, FEWEST_SEEDS, MOST_SEEDS = 3, 2, 12
USE = 0.95  # of the budget is planned: loading Python and a slower moment come on top
REPORT = 10.0  # seconds for figures and page
START = 3.0  # seconds for a fresh Python to import torch

Cost = Callable[[StudyConfig], float]


def parse_budget(text: str, needs: str = "--budget needs a time") -> float:
    """Return seconds of ``20m``, ``2h``, ``90s`` or ``1h30m``.

    Args:
        needs: how a refusal begins.

    Raises:
        UsageError: anything else, or nothing at all.
    """
    number = r"(\d{1,9}(?:\.\d{1,9})?)"
    found = re.fullmatch(rf"(?:{number}h)?(?:{number}m)?(?:{number}s)?", text.strip().lower())
    seconds = sum(float(n or 0) * unit for n, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0.0
    if seconds <= 0:
        raise UsageError(f"{needs} such as 20m, 2h, 90s or 1h30m, found {text[:80]!r}.")
    return seconds


def words(seconds: float) -> str:
    """Spell a time as ``--budget`` takes it, rounded up: 90s, 12m, 1h5m."""
    if seconds <= 120:
        return f"{-int(-seconds // 1)}s"
    hours, minutes = divmod(-int(-seconds // 60), 60)
    return f"{hours}h{minutes}m" if hours and minutes else f"{hours}h" if hours else f"{minutes}m"


@dataclass(frozen=True)
class Timing:
    """Seconds on this machine: a training step of the reference and of an adapter, at the study's batch; an evaluation
    of the selection and of the test split; loading the model in a fresh process.
    """

    reference_step: float
    adapter_step: float
    selection: float
    test: float
    load: float

    def step(self, config: StudyConfig, arm: Arm) -> float:
        """Return seconds per step of an arm."""
        own = self.reference_step if arm.method == "full" or arm is config.reference_arm else self.adapter_step
        return own * (arm.batch or config.batch) / config.batch

    def run(self, config: StudyConfig, arm: Arm, start: int, end: int, *, fresh: bool = False) -> float:
        """Return seconds of a run from one step to another, evaluations included."""
        evaluations = sum(start < step <= end for step in config.eval_steps)
        # At the best step and at the last, which are one where the rate falls.
        tests = (2 if config.schedule == "constant" else 1) if fresh and end == config.steps else 0
        return (end - start) * self.step(config, arm) + evaluations * self.selection + tests * self.test

    def search(self, config: StudyConfig) -> float:
        """Return seconds of the search. Half of the arms are taken to widen, and half to be refined."""
        rungs = rung_steps(config.eval_steps, config.steps, config.halving.first) if config.search == "halving" else ()
        extra = 0.5 * config.widen + (0.5 if config.refine is not None else 0.0)
        going = {arm.name: len(config.learning_rates[arm.name]) + extra for arm in config.arms}
        total, start = 0.0, 0
        for number, step in enumerate((*rungs, config.steps)):
            total += sum(
                going[arm.name] * self.run(config, arm, start, step) for arm in config.arms if arm.name in going
            )
            start = step
            going = {
                name: min(rates, max(2.0 if number == 0 else 1.0, rates / config.halving.eta))
                for name, rates in going.items()
            }
            if config.halving.arms and config.finalists:
                # Those after the reference stand for the arms that remain: which ones is not known yet.
                adapters = [arm.name for arm in config.arms[1:] if arm.name in going]
                kept = max(config.finalists + (number == 0), -(-len(adapters) // int(config.halving.eta)))
                going = {name: r for name, r in going.items() if name not in adapters[kept:]}
        return total

    def seed(self, config: StudyConfig) -> float:
        """Return seconds of one fresh seed: the reference and the finalists."""
        adapters = config.arms[1 : 1 + config.finalists]
        return sum(self.run(config, arm, 0, config.steps, fresh=True) for arm in (config.reference_arm, *adapters))

    def tail(self, config: StudyConfig) -> float:
        """Return seconds after the last run: measuring arms alone, and the report."""
        alone = (1 + config.finalists) * (START + self.load + 4 * max(self.reference_step, self.adapter_step))
        return REPORT + (alone if config.measure else 0.0)

    def study(self, config: StudyConfig) -> float:
        """Return seconds of everything after loading."""
        return self.search(config) + config.expected_seeds * self.seed(config) + self.tail(config)


def plan(config: StudyConfig, seconds: float, cost: Cost) -> StudyConfig:
    """Return the study that fits: ``config`` itself, or one with less in it.

    Args:
        seconds: what is left of the budget.
        cost: estimates a study's seconds.

    Raises:
        UsageError: the smallest study with a verdict takes longer; the message says how long.
    """
    planned = config
    for cut in (*RUNNING_CUTS[:3], _fewer_rates, _no_refinement, RUNNING_CUTS[3], *_LAST_CUTS):
        while cost(planned) > USE * seconds:
            smaller = cut(config, planned)
            if smaller is None:
                break
            planned = smaller
    if cost(planned) > USE * seconds:
        what = f"{planned.reference_words} and {planned.arms[-1].label} at {planned.steps} steps"
        raise UsageError(
            f"--budget is too short: the smallest study with a verdict here ({what}, {planned.expected_seeds} fresh "
            f"seeds) takes about {words(cost(planned) / USE)}; allow that, or give a smaller model, batch or --steps."
        )
    return planned


def replan(config: StudyConfig, seconds: float, cost: Cost) -> StudyConfig:
    """Return a study with less ahead, while it runs: only cuts that keep every finished run; at worst what is left."""
    planned = config
    for cut in RUNNING_CUTS:
        while cost(planned) > seconds and (smaller := cut(config, planned)) is not None:
            planned = smaller
    return planned


def more_seeds(config: StudyConfig, seconds: float, seed: float, most: int = MOST_SEEDS) -> StudyConfig | None:
    """Return the study with as many further fresh seeds as fit in ``seconds`` at ``seed`` seconds each, or None."""
    if not config.fresh_seeds or not config.finalists or config.until == "decided":
        return None
    count = min(int(seconds // seed) if seed > 0 else 0, most - len(config.fresh_seeds))
    if count < 1:
        return None
    first = max(config.seed, *config.fresh_seeds) + 1
    return changed(config, fresh_seeds=(*config.fresh_seeds, *range(first, first + count)))


def changed(config: StudyConfig, **values: Any) -> StudyConfig:
    """Return the configuration with other settings; its budget keeps what was asked for instead of them."""
    assert config.budget is not None
    now = config.to_dict()
    asked = {**{name: now[name] for name in values}, **config.budget.asked}
    made = parse_config({**now, **values, "budget": {"seconds": config.budget.seconds, "asked": asked}})
    kept = {name: value for name, value in asked.items() if made.to_dict()[name] != value}
    return made.model_copy(update={"budget": Budget(seconds=config.budget.seconds, asked=kept)})


def as_asked(config: StudyConfig) -> dict[str, Any]:
    """Return the configuration that was asked for, before it was fitted to its budget."""
    assert config.budget is not None
    return {**config.to_dict(), **config.budget.asked, "budget": {"seconds": config.budget.seconds, "asked": {}}}


def budget_changes(config: StudyConfig) -> list[str]:
    """Say what the budget left out (or added), one phrase each."""
    if config.budget is None or not config.budget.asked:
        return []
    asked = parse_config(as_asked(config))
    return list(_phrases(asked, config))


def _phrases(asked: StudyConfig, made: StudyConfig) -> Iterator[str]:
    names = {arm.name for arm in made.arms}
    if gone := [arm.label for arm in asked.arms if arm.name not in names]:
        yield f"arms left out: {', '.join(gone)}"
    if made.steps != asked.steps:
        yield f"{made.steps} steps instead of {asked.steps}"
    for arm in made.arms:
        if rates := sorted(set(asked.learning_rates[arm.name]) - set(made.learning_rates[arm.name])):
            yield f"learning rates of {arm.name} left out: {', '.join(f'{lr:g}' for lr in rates)}"
    if made.refine != asked.refine:
        yield "no rerun at fitted optima"
    if made.halving.arms != asked.halving.arms:
        yield "arms that fall behind are stopped early"
    if made.finalists != asked.finalists:
        yield f"{made.finalists} finalist{'s' * (made.finalists != 1)} instead of {asked.finalists}"
    if len(made.fresh_seeds) != len(asked.fresh_seeds):
        yield f"{len(made.fresh_seeds)} fresh seeds instead of {len(asked.fresh_seeds)}"


Cut = Callable[[StudyConfig, StudyConfig], StudyConfig | None]  # (as asked, as planned so far) -> smaller, or None


def _three_seeds(asked: StudyConfig, now: StudyConfig) -> StudyConfig | None:
    seeds = now.fresh_seeds
    return changed(now, fresh_seeds=seeds[:-1]) if len(seeds) > SEEDS and now.until == "seeds" else None


def _two_seeds(asked: StudyConfig, now: StudyConfig) -> StudyConfig | None:
    seeds = now.fresh_seeds
    return changed(now, fresh_seeds=seeds[:-1]) if len(seeds) > FEWEST_SEEDS and now.until == "seeds" else None


def _stop_arms(asked: StudyConfig, now: StudyConfig) -> StudyConfig | None:
    if now.search != "halving" or now.halving.arms or not now.finalists:
        return None
    return changed(now, halving={**now.halving.model_dump(), "arms": True})


def _one_finalist(asked: StudyConfig, now: StudyConfig) -> StudyConfig | None:
    return changed(now, finalists=now.finalists - 1) if now.finalists > 1 else None


def _fewer_rates(asked: StudyConfig, now: StudyConfig) -> StudyConfig | None:
    most = max((len(now.learning_rates[arm.name]) for arm in now.arms[1:]), default=0)
    if most <= 3:
        return None
    rates = {name: list(grid) for name, grid in now.learning_rates.items()}
    for arm in now.arms[1:]:
        if len(rates[arm.name]) == most:  # the highest goes first where both ends are as far
            rates[arm.name].pop(-1 if (len(asked.learning_rates[arm.name]) - most) % 2 == 0 else 0)
    return changed(now, learning_rates=rates)


def _no_refinement(asked: StudyConfig, now: StudyConfig) -> StudyConfig | None:
    return changed(now, refine=None) if now.refine is not None else None


def _fewer_arms(least: int) -> Cut:
    def cut(asked: StudyConfig, now: StudyConfig) -> StudyConfig | None:
        if len(now.arms) - 1 <= least:
            return None
        ladder = [arm for arm in now.arms[1:] if arm.is_rung]
        others = [arm for arm in now.arms[1:] if not arm.is_rung]
        gone = others[-1] if others else min(ladder, key=lambda arm: int(arm.options.get("rank", 0)))
        arms = [arm for arm in now.arms if arm is not gone]
        rates = {arm.name: now.learning_rates[arm.name] for arm in arms}
        return changed(now, arms=[arm.model_dump(mode="json") for arm in arms], learning_rates=rates)

    return cut


def _one_arm_with_looks(asked: StudyConfig, now: StudyConfig) -> StudyConfig | None:
    """Short runs end by chance, so one adapter at full length is decided sooner than two at half of it."""
    return _fewer_arms(1)(asked, now) if now.until == "decided" else None


def _fewer_steps(share: float) -> Cut:
    def cut(asked: StudyConfig, now: StudyConfig) -> StudyConfig | None:
        steps, every = now.steps // 2, max(now.eval_every // 2, 1)
        return changed(now, steps=steps, eval_every=every) if steps >= max(share * asked.steps, 4) else None

    return cut


RUNNING_CUTS: tuple[Cut, ...] = (_three_seeds, _stop_arms, _one_finalist, _two_seeds)
_LAST_CUTS: tuple[Cut, ...] = (
    _fewer_arms(2),
    _one_arm_with_looks,
    _fewer_steps(0.5),
    _fewer_arms(1),
    _fewer_steps(0.25),
)
