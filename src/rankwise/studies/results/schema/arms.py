"""One arm of a study: what it is, how it was searched, what its fresh seeds say."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from annotated_types import Len
from typing_extensions import TypedDict

from rankwise.stats.verdict_words import ArmWord
from rankwise.studies.results.schema.parts import Interval, Point

BY_HAND = "custom"  # in place of a method's name: the arm's adapter was composed by hand
Coefficients = Annotated[list[float], Len(3, 3)]


class Run(TypedDict):
    """One run of an arm: a learning rate of the search, or a fresh seed."""

    lr: float  # learning rate
    seed: int  # of data order, initialization and dropout
    status: Literal["done", "stopped", "diverged", "failed"]  # stopped: early, because others were better
    reason: str | None  # why it diverged or failed
    selection_nll: float | None  # lowest NLL on the selection set, nats per target token; null unless done
    best_step: int | None  # where that was; the checkpoint that is kept
    curve: list[Point]  # NLL on the selection set over training


class Fresh(Run):
    """One run on a fresh seed, scored on the test set."""

    test_nll: float | None  # at the best step
    test_nll_final: float | None  # at the last step


class Fit(TypedDict):
    """The parabola through the scores around the best learning rate, over log10 of the rate."""

    lr: float  # where its minimum is
    nll: float  # its minimum
    coefficients: Coefficients  # constant, linear, quadratic
    step: NotRequired[int]  # the training step whose scores it fits


class Contrast(Interval):
    """What a verdict tests, in nats: what the arm loses beyond the margin; below 0 it matches."""

    df: float | None  # degrees of freedom
    p: float | None  # two-sided, not corrected for other arms


class ArmVerdict(TypedDict):
    """What may be said about the arm."""

    word: ArmWord  # the verdict's key
    sentence: str  # the verdict for a person
    contrast: Contrast | None  # null where nothing was tested
    close: NotRequired[Interval | None]  # nats above the reference's loss with its margin; below 0 it is close
    chance: NotRequired[float | None]  # probability that it matches, under flat priors; null where nothing was tested
    seeds: NotRequired[int | None]  # fresh seeds of the look that this is from
    level: NotRequired[float | None]  # one-sided level of the intervals' ends at that look
    needs: str | None  # what would decide it; null unless undecided


class Trend(TypedDict):
    """How the gap to the reference moves over the last steps, with its 95 % interval."""

    slope: float  # nats per 10 steps
    low: float  # lower end
    high: float  # upper end
    widening: bool  # whether the gap grows


class FiredEvent(TypedDict):
    """One kind of event in a run."""

    event: str  # its name
    count: int  # how often it fired
    first: int  # training step of the first time
    last: int  # training step of the last time
    effect: str  # what the last one did


class RanksAt(TypedDict):
    """Ranks at one moment."""

    step: int  # training step
    layers: list[float]  # mean rank of every layer's modules, by depth


class Spread(TypedDict):
    """A number over the layers."""

    mean: float  # over the layers
    low: float  # the least
    high: float  # the most


class UpdateRanks(TypedDict):
    """In how many directions the total update goes."""

    layers: int  # how many were measured
    rank: Spread  # singular values that are not rounding
    effective: Spread  # exp of the entropy of the singular values over their sum


class Dynamics(TypedDict):
    """What happened inside one run of the arm."""

    events: list[FiredEvent]  # what fired
    ranks: list[RanksAt]  # over time, step 0 first
    update: UpdateRanks | None  # null when not measured


class Arm(TypedDict):
    """One arm of the study."""

    name: str  # its key in this file and in commands
    label: str  # its name for people
    method: str  # of the catalogue; custom when composed by hand
    options: NotRequired[dict[str, Any]]  # what the method was given
    reference: bool  # whether the others are judged against it
    batch: NotRequired[int]  # examples per step; without it, the training's
    rank: int | None  # null for full fine-tuning, as the next four
    alpha: float | None  # as given
    alpha_over_rank: float | None  # alpha / rank
    scaling: float | None  # what B A is multiplied by
    placement: str | None  # which layers
    formula: str  # the weight it trains
    trainable: int | None  # parameters; null when no run began
    flops: float | None  # operations executed by its longest run; null when none ended
    learning_rates: list[Run]  # the search, one seed, lowest rate first
    best_lr: float | None  # the rate of the fresh seeds; null when every run diverged or failed
    bracketed: bool  # rates on both sides of the best one are worse
    widened: bool  # whether the grid grew beyond an edge
    fit: NotRequired[Fit | None]  # null with fewer than three neighboring scores
    best_of_sweep: list[Point]  # at each step the lowest NLL over rates: a lower bound, not one run
    fresh: list[Fresh]  # by seed; empty for an arm that was only screened
    test_nll: float | None  # mean over fresh seeds
    regret: Interval | None  # test NLL minus the reference's, nats per token
    recovery: Interval | None  # share of the reference's gain over the untouched model that it keeps
    verdict: ArmVerdict  # what may be said
    dynamics: NotRequired[Dynamics]  # only of arms with events, or in a survey of such
    trend: Trend | None  # null with fewer than two seeds in common with the reference
