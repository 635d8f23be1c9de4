"""Writes down a study: the ``results`` dict that the report reads. No clocks here: a resumed study gives it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rankwise.adapters import Adapter
from rankwise.data import Splits
from rankwise.engine import RunResult
from rankwise.methods import card
from rankwise.models import Base
from rankwise.stats.contrast import Interval
from rankwise.stats.verdict import ERROR, Verdict
from rankwise.stats.verdict_words import NO_VERDICT, REFERENCE, SCREENED, ArmWord
from rankwise.studies.budget.plan import budget_changes
from rankwise.studies.config import Arm, StudyConfig
from rankwise.studies.presets.resolve import question
from rankwise.studies.presets.survey import survey
from rankwise.studies.results import schema
from rankwise.studies.results.cautions import traps
from rankwise.studies.results.event_history import dynamics
from rankwise.studies.results.looks import allowed, looks
from rankwise.studies.results.recommend import recommend
from rankwise.studies.results.verdicts import Judgement, finished
from rankwise.studies.running.conduct import ArmOutcome, Outcome
from rankwise.studies.running.outcome import Search

SCHEMA = 2  # 1: no margin of the loss, one look, and the word "matches or beats"


def results(
    config: StudyConfig,
    base: Base,
    splits: Splits,
    outcome: Outcome,
    judgement: Judgement,
    faults: list[schema.Fault],
    costs: Mapping[str, schema.ArmCost],
) -> schema.Results:
    """Return the study's results as plain JSON values; what every key means is said in :mod:`.schema`."""
    arms = [_arm(outcome.arms[arm.name], judgement, outcome, config) for arm in config.arms]
    found: schema.Results = {
        "schema": SCHEMA,
        "study": {
            "preset": config.preset,
            "scale": config.scale,
            "question": question(config.preset),
            "margin": config.margin,
            "margin_loss": config.margin_loss,
            "margin_floor": config.margin_floor,
            "seed": config.seed,
            "fresh_seeds": _seeds_run(config, outcome),
            "until": config.until,
            "budget": {"seconds": config.budget.seconds, "changes": budget_changes(config)} if config.budget else None,
        },
        "cell": {
            "model": base.name,
            "data": splits.name,
            "notes": [*base.notes, *splits.notes],
            "train": len(splits.train),
            "selection": len(splits.selection),
            "test": len(splits.test),
            "test_targets": sum(e.targets for e in splits.test),
            "base_fingerprint": base.fingerprint,
            "data_fingerprint": splits.fingerprint,
        },
        "training": {
            "steps": config.steps,
            "batch": config.batch,
            "schedule": config.schedule,
            "optimizer": "AdamW",
            "clip": config.clip,
            "dtype": config.dtype,
            "eval_steps": list(config.eval_steps),
        },
        "base": {"selection_nll": outcome.base_selection.mean, "test_nll": outcome.base_test.mean},
        "arms": arms,
        "search": _search(config, outcome.search),
        "verdict": recommend(config, outcome, judgement, costs),
        "allowed": allowed(config, outcome, sum(e.targets for e in splits.test)),
        "looks": looks(config, outcome),
        "traps": traps(config, outcome),
        "faults": faults,
        "citations": _citations(config),
    }
    if surveyed := survey(config, outcome):
        found["survey"] = surveyed
    return found


def _seeds_run(config: StudyConfig, outcome: Outcome) -> list[int]:
    """Return the fresh seeds that the reference was given: of those allowed, as many as it took."""
    given = outcome.arms[config.reference_arm.name].fresh
    return (
        [seed for seed in config.fresh_seeds if seed in given] if config.until == "decided" else [*config.fresh_seeds]
    )


def _arm(outcome: ArmOutcome, judgement: Judgement, study: Outcome, config: StudyConfig) -> schema.Arm:
    arm = outcome.arm
    verdict = judgement.verdicts.get(arm.name)
    trend = judgement.trends.get(arm.name)
    fresh = finished(outcome)
    some_run = next((r for r in outcome.screening.values() if r is not None), None)
    rates = [_run(lr, config.seed, run) for lr, run in sorted(outcome.screening.items())]
    tests = [r.test.mean for r in fresh.values() if r.test]
    target = arm.target()
    own = target if isinstance(target, Adapter) else None  # full fine-tuning has no rank, no scale and no place
    found: schema.Arm = {
        "name": arm.name,
        "label": arm.label,
        "method": arm.method,
        "options": dict(sorted(arm.options.items())),  # the same bytes from study.yaml, which sorts names
        "reference": arm is config.reference_arm,
        "batch": arm.batch or config.batch,
        "rank": own.rank if own else None,
        "alpha": own.alpha if own else None,
        "alpha_over_rank": own.alpha / own.rank if own else None,
        "scaling": own.s if own else None,
        "placement": own.placement.name if own else None,
        "formula": f"W = {own.formula}" if own else card(arm.method).formula,
        "trainable": some_run.trainable if some_run else None,
        "flops": max(
            (r.flops for r in outcome.screening.values() if r is not None and r.status == "done"), default=None
        ),
        "learning_rates": rates,
        "best_lr": outcome.best_lr,
        "bracketed": outcome.bracketed,
        "widened": outcome.widened,
        "fit": _fit(outcome),
        "best_of_sweep": best_of_sweep([rate["curve"] for rate in rates]),
        "fresh": [_fresh(outcome, seed, run) for seed, run in outcome.fresh.items()],
        "test_nll": sum(tests) / len(tests) if tests else None,
        "regret": _interval(verdict.regret) if verdict else None,
        "recovery": _interval(verdict.recovery) if verdict else None,
        "verdict": _verdict(arm, verdict, study, config),
        "trend": None
        if trend is None
        else {"slope": trend.slope, "low": trend.low, "high": trend.high, "widening": trend.widening},
    }
    if happened := dynamics(outcome):
        found["dynamics"] = happened
    return found


def _fit(outcome: ArmOutcome) -> schema.Fit | None:
    if outcome.fit is None:
        return None
    fit, step = outcome.fit
    return {"lr": fit.lr, "nll": fit.nll, "coefficients": list(fit.coefficients), "step": step}


def _search(config: StudyConfig, search: Search) -> schema.Search:
    return {
        "kind": config.search,
        "examples_spent": search.spent,
        "examples_full_grid": search.full_grid,
        "rungs": [{"step": rung.step, "runs": rung.runs, "kept": rung.kept} for rung in search.rungs],
        "stopped": [{"arm": s.arm, "lr": s.lr, "step": s.step, "reason": s.reason} for s in search.stops],
    }


def _run(lr: float, seed: int, run: RunResult | None) -> schema.Run:
    if run is None:
        nothing: schema.Run = {
            "lr": lr,
            "seed": seed,
            "status": "failed",
            "reason": None,
            "selection_nll": None,
            "best_step": None,
            "curve": [],
        }
        return nothing
    done = run.status == "done"
    return {
        "lr": lr,
        "seed": seed,
        "status": "stopped" if run.status == "paused" else run.status,
        "reason": run.reason,
        "selection_nll": run.selection_nll if done else None,
        "best_step": run.best_step if done else None,
        "curve": [list(point) for point in run.curve],
    }


def _fresh(outcome: ArmOutcome, seed: int, run: RunResult | None) -> schema.Fresh:
    return {
        **_run(outcome.best_lr or 0.0, seed, run),
        "test_nll": run.test.mean if run and run.test else None,
        "test_nll_final": run.test_final.mean if run and run.test_final else None,
    }


def best_of_sweep(curves: Sequence[Sequence[schema.Point]]) -> list[schema.Point]:
    """Return, at each step, the lowest NLL over learning rates: an empirical lower bound, not one run."""
    best: dict[float, float] = {}
    for step, nll in (point for curve in curves for point in curve):
        best[step] = min(nll, best.get(step, nll))
    return [[step, best[step]] for step in sorted(best)]


def _verdict(arm: Arm, verdict: Verdict | None, study: Outcome, config: StudyConfig) -> schema.ArmVerdict:
    if arm is config.reference_arm:
        return {"word": REFERENCE, "sentence": f"{arm.label} is the reference.", "contrast": None, "needs": None}
    if verdict is None:
        chosen = arm.name in study.finalists
        if study.arms[arm.name].stopped:
            step = study.arms[arm.name].depth
            sentence = (
                f"{arm.label} was stopped at step {step} of {config.steps}, behind others; there is no verdict on it."
            )
            return {"word": SCREENED, "sentence": sentence, "contrast": None, "needs": None}
        why = "its fresh runs diverged or failed" if chosen else "it got no fresh seeds"
        word: ArmWord = NO_VERDICT if chosen else SCREENED
        sentence = f"{arm.label} was screened on one seed only; {why}, so there is no verdict on it."
        return {"word": word, "sentence": sentence, "contrast": None, "needs": None}
    contrast: schema.Contrast | None = None
    if (found := verdict.contrast) is not None:
        contrast = {"estimate": found.estimate, "low": found.low, "high": found.high, "df": verdict.df, "p": verdict.p}
    return {
        "word": verdict.word,
        "sentence": verdict.sentence(arm.label, config.reference_words),
        "contrast": contrast,
        "close": _interval(verdict.close),
        "chance": verdict.chance,
        "seeds": verdict.look.seeds,
        "level": verdict.look.level(ERROR),
        "needs": str(verdict.needs) if verdict.needs else None,
    }


def _interval(interval: Interval | None) -> schema.Interval | None:
    if interval is None:
        return None
    return {"estimate": interval.estimate, "low": interval.low, "high": interval.high}


def _citations(config: StudyConfig) -> list[schema.Citation]:
    # An arm composed by hand has no paper.
    cards = {arm.method: card(arm.method) for arm in config.arms if arm.adapter is None}
    return [
        {"method": c.name, "arxiv": c.arxiv, "title": c.title, "bibtex": c.citation}
        for c in cards.values()
        if c.citation
    ]
