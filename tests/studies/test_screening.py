"""The search over invented curves: what it tries, what it stops, what it costs, what it misses."""

import math
import random

import pytest

from rankwise.engine import RunResult
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.search.screening import Screening

START = 2.0
EXAMPLES = 160


def curve(lr, optimum, floor, steps, every, drift=0.0, width=0.35):
    """Selection NLL that falls towards a parabola in log rate, whose optimum moves down by ``drift`` decades."""
    points = []
    for step in range(every, steps + 1, every):
        part = step / steps
        off = math.log10(lr / optimum) - drift * (1 - part)
        reach = (1 - math.exp(-4 * part)) / (1 - math.exp(-4))
        points.append((step, START - (START - floor) * reach + width * off**2))
    return points


class Bench:
    """A wave that invents results and remembers what was asked; ``ahead`` returns whole runs, as a ledger may."""

    def __init__(self, config, optima, *, ahead=False, diverge_at=math.inf, fail=(), drift=0.0):
        self.config, self.optima, self.ahead, self.drift = config, optima, ahead, drift
        self.diverge_at, self.fail = diverge_at, set(fail)
        self.asked = []

    def __call__(self, jobs):
        self.asked += [(job.arm.name, job.lr, job.until) for job in jobs]
        return [self.result(job) for job in jobs]

    def result(self, job):
        config = self.config
        if (job.arm.name, job.lr) in self.fail:
            return None
        optimum, floor = self.optima[job.arm.name]
        if job.lr >= self.diverge_at * optimum:
            return RunResult(status="diverged", reason="loss", losses=[1.0] * 2)
        end = config.steps if self.ahead or job.until is None else job.until
        points = curve(job.lr, optimum, floor, config.steps, config.eval_every, self.drift)
        points = [point for point in points if point[0] <= end]
        status = "done" if end == config.steps else "paused"
        return RunResult(status=status, curve=points, losses=[1.0] * end, trainable=10)


def study(**changes):
    return resolve_study("rank", "quick", {"methods": ["lora-r1", "lora-r16", "lora-r64"], **changes})


OPTIMA = {"full": (1.2e-4, 0.70), "lora-r1": (1.3e-3, 0.9), "lora-r16": (8e-4, 0.75), "lora-r64": (1e-3, 0.72)}


def search(config, optima=OPTIMA, **how):
    bench = Bench(config, optima, **how)
    screening = Screening(config, START, bench)
    return screening.run(), screening, bench


def test_every_arm_ends_with_one_whole_run_in_a_bracket_and_the_reference_with_two():
    arms, screening, _ = search(study())
    for name, arm in arms.items():
        assert [run.status for run in arm.screening.values()].count("done") == (2 if name == "full" else 1)
        assert arm.screening[arm.best_lr].status == "done"
        assert arm.bracketed
        assert not arm.stopped
    assert [rung.step for rung in screening.rungs] == [5, 10]
    assert screening.rungs[0].kept == 8
    assert screening.rungs[1].kept == 5


def test_the_grid_trains_everything_to_its_end():
    arms, screening, bench = search(study(search="grid", refine=None))
    assert all(until is None for _, _, until in bench.asked)
    assert all(run.status == "done" for arm in arms.values() for run in arm.screening.values())
    price = screening.price(EXAMPLES)
    assert price.spent == price.full_grid == 12 * 160
    assert price.stops == price.rungs == ()


@pytest.mark.parametrize("drift", [0.0, 0.15])
def test_two_runs_worth_per_arm_at_a_regret_under_half_a_percent_of_the_gain(drift):
    """Optima anywhere in the starting grid's reach, also drifting down while a run trains; 100 studies."""
    rolls = random.Random(5)
    config = study()
    costs, regrets = {"adapter": [], "reference": []}, []
    for _ in range(100):
        optima = {name: (OPTIMA[name][0] * 10 ** rolls.uniform(-0.5, 0.5), rolls.uniform(0.6, 1.0)) for name in OPTIMA}
        arms, _, _ = search(config, optima, drift=drift)
        for name, arm in arms.items():
            steps = sum(len(run.losses) for run in arm.screening.values())
            costs["reference" if name == "full" else "adapter"].append(steps / config.steps)
            floor = optima[name][1]
            regrets.append((arm.screening[arm.best_lr].curve[-1][1] - floor) / (START - floor))
    assert sum(costs["adapter"]) / len(costs["adapter"]) <= 2.0
    assert sum(costs["reference"]) / len(costs["reference"]) <= 2.8  # two of its rates go to the end
    assert sum(regrets) / len(regrets) < 0.005


def test_the_reference_gets_as_many_rates_as_any_arm():
    optima = {**OPTIMA, "full": (1e-4, 0.7), "lora-r16": (5e-3, 0.75)}  # lora-r16 widens and is refined
    arms, _, _ = search(study(), optima)
    counts = {name: len(arm.screening) for name, arm in arms.items()}
    assert counts["lora-r16"] >= 4
    assert counts["full"] == max(counts.values())


def test_what_the_ledger_already_has_changes_no_decision():
    """A resumed study finds some runs further than it asks for."""
    for arms_too in (False, True):
        config = study(halving={"arms": arms_too})
        first, one, _ = search(config)
        again, other, _ = search(config, ahead=True)
        assert one.stops == other.stops
        assert one.rungs == other.rungs
        assert one.price(EXAMPLES) == other.price(EXAMPLES)
        for name, arm in first.items():
            ours = {lr: (run.status, run.curve) for lr, run in arm.screening.items()}
            assert ours == {lr: (run.status, run.curve) for lr, run in again[name].screening.items()}
            assert (arm.best_lr, arm.bracketed, arm.fit) == (
                again[name].best_lr,
                again[name].bracketed,
                again[name].fit,
            )


def test_an_optimum_outside_is_followed_as_far_as_widening_is_allowed():
    optima = {**OPTIMA, "lora-r1": (5e-2, 0.9)}
    for widen, rates in ((0, [3e-4, 1e-3, 3e-3]), (1, [3e-4, 1e-3, 3e-3, 9e-3]), (3, None)):
        arms, _, _ = search(study(widen=widen, refine=None), optima)
        arm = arms["lora-r1"]
        assert arm.widened == (widen > 0)
        assert arm.bracketed == (widen == 3)
        if rates:
            assert sorted(arm.screening) == rates


def test_diverged_runs_bracket_and_are_never_stopped_by_decision():
    arms, screening, _ = search(study(), diverge_at=2.0)
    assert arms["full"].screening[3e-4].status == "diverged"
    assert arms["full"].bracketed
    assert ("full", 3e-4) not in screening.stops


def test_an_arm_that_always_diverges_is_looked_for_lower_and_ends():
    arms, _, _ = search(study(widen=2), diverge_at=0.0)
    assert all(arm.best_lr is None and not arm.bracketed for arm in arms.values())
    assert min(arms["full"].screening) == pytest.approx(3e-6)


def test_failed_runs_do_not_send_the_search_elsewhere():
    config = study()
    fail = [("lora-r1", lr) for lr in config.learning_rates["lora-r1"]]
    arms, _, _ = search(config, fail=fail)
    assert list(arms["lora-r1"].screening) == list(config.learning_rates["lora-r1"])
    assert arms["lora-r1"].best_lr is None


def test_whole_arms_stop_when_asked_but_never_the_reference_nor_what_is_only_drawn():
    config = study(halving={"arms": True}, finalists=1)
    optima = {**OPTIMA, "full": (1e-4, 1.3)}  # a reference worse than every adapter
    arms, screening, _ = search(config, optima)
    assert not arms["full"].stopped
    stopped = [name for name, arm in arms.items() if arm.stopped]
    assert stopped == ["lora-r1", "lora-r16"]
    ends = {stop.arm: stop.step for stop in screening.stops.values()}
    assert ends["lora-r16"] == 5
    assert ends["lora-r1"] == 10, "one more than the finalists at first: the cheapest within the margin"
    assert all(arms[name].best_lr is not None for name in stopped)
    batches = resolve_study("batch-size", "quick", {"halving": {"arms": True}})
    optima = {arm.name: (1e-4 if arm.method == "full" else 1e-3, 0.8) for arm in batches.arms}
    arms, _, _ = search(batches, optima)
    assert not any(arm.stopped for arm in arms.values()), "one rival only, the others have batch sizes of their own"


def test_without_fresh_seeds_nothing_is_judged_so_no_arm_stops():
    arms, _, _ = search(study(halving={"arms": True}, finalists=0, fresh_seeds=[]))
    assert not any(arm.stopped for arm in arms.values())


def test_the_fit_is_of_scores_at_one_step():
    arms, _, _ = search(study(refine=None))
    fit, step = arms["lora-r1"].fit
    assert step == 5, "the third rate was stopped there"
    assert fit.lr == pytest.approx(1.3e-3, rel=0.05)
    whole, _, _ = search(study(search="grid", refine=None))
    fit, step = whole["lora-r1"].fit
    assert step == 20
    assert fit.lr == 1.3e-3


def test_halving_without_an_evaluation_before_the_end_is_a_grid():
    config = study(eval_every=20)
    assert config.train_spec(config.arms[0], 1e-3, 0).eval_steps == (20,)
    arms, screening, _ = search(config)
    assert screening.rungs == []
    assert all(run.status == "done" for run in arms["full"].screening.values())
