"""``results.json`` of a study of arms beside a reference."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from rankwise.studies.results.schema.arms import Arm
from rankwise.studies.results.schema.parts import Fault, Filled, Provenance


class Budget(TypedDict):
    """The time that the study was fitted to."""

    seconds: float  # asked for
    changes: list[str]  # what was given up to keep it


class Question(TypedDict):
    """What was asked."""

    preset: str  # name of the question
    scale: str  # smoke, quick or tutorial
    question: str  # as a sentence; empty for a study of one's own
    margin: float  # share of the gain that an arm may lose and still match
    margin_loss: NotRequired[float | None]  # share of the reference's own loss it may lie above it; null: not asked
    margin_floor: NotRequired[float]  # nats per token that it may lie above it besides
    seed: int  # of the search
    fresh_seeds: list[int]  # of the verdict
    until: NotRequired[str]  # seeds: one look after all of them; decided: one after each from the third on
    budget: NotRequired[Budget | None]  # null without one


class Allowed(TypedDict):
    """How far above the reference's loss an arm may lie and still match, in words and numbers."""

    nats: float  # per target token
    per_answer: float  # nats per test example, on average
    perplexity: float  # factor on the reference's perplexity
    early_step: int | None  # first step at which the reference was scored
    early_share: float | None  # share of its gain, on the selection set, that was there already: the form of answers
    sentence: str  # for a person


class StudyCell(TypedDict):
    """On which model and data."""

    model: str  # name
    data: str  # name
    notes: list[str]  # what to know about both
    train: int  # training examples
    selection: int  # examples that choose learning rates and checkpoints
    test: int  # examples that are read once, at the end
    test_targets: int  # tokens of the test examples that are scored
    base_fingerprint: str  # digest of weights and dtype
    data_fingerprint: str  # digest of all examples


class Training(TypedDict):
    """What all runs have in common."""

    steps: int  # of the optimizer
    batch: int  # examples per step, where an arm has none of its own
    schedule: str  # of the learning rate
    optimizer: str  # its name
    clip: float  # largest norm of the gradient; 0: not clipped
    dtype: str  # of the base
    eval_steps: list[int]  # steps at which the selection set is scored


class Untouched(TypedDict):
    """Scores of the model before training, nats per target token."""

    selection_nll: float  # on the selection set
    test_nll: float  # on the test set


class Rung(TypedDict):
    """One step at which runs were compared."""

    step: int  # training step
    runs: int  # compared there
    kept: int  # how many went on


class Stopped(TypedDict):
    """One run that was stopped for good."""

    arm: str  # name of its arm
    lr: float  # its learning rate
    step: int  # where it was stopped
    reason: str  # why


class Search(TypedDict, total=False):
    """How learning rates were searched, and at what price."""

    kind: str  # halving or grid
    examples_spent: int  # read by the search
    examples_full_grid: int  # that the same rates had read without stopping any
    rungs: list[Rung]  # in order; empty when none was stopped
    stopped: list[Stopped]  # in order


class Guess(TypedDict):
    """What to use while nothing is decided. Not a verdict."""

    arm: str  # name of the likeliest arm to match
    chance: float  # probability that it does, under flat priors: one less its larger one-sided p-value
    sentence: str  # for a person


class Conclusion(TypedDict):
    """The study's own verdict."""

    headline: str  # one sentence
    recommended: str | None  # name of the cheapest arm that matches; null when none does
    reason: str  # why this one, or why none
    cheapest_by: NotRequired[str]  # cost that decides: flops, memory, time, params or bytes
    guess: NotRequired[Guess | None]  # only where an arm is undecided and none matches


class LookTaken(TypedDict):
    """One look at the fresh runs of a family of arms."""

    family: int  # number of the family, from 1; arms added after a look are a family of their own
    seeds: int  # fresh seeds it rests on
    level: float  # one-sided level of a single claim at this look
    spent: float  # share of trials in which a claim of one kind may be wrong, up to and with this look
    words: dict[str, str]  # verdict by arm


class LooksTaken(TypedDict):
    """When the fresh runs were looked at, and what of the error is spent."""

    error: float  # share of trials in which a claim of one kind may be wrong, over all looks and arms of a family
    horizon: int | None  # seeds by which nine tenths of it are spent; null: one look
    limit: int  # fresh seeds allowed
    ended: str | None  # why no further seed was run: decided, futile, limit or time; null: one look was planned
    sentence: str  # for a person
    taken: list[LookTaken]  # in order


class SurveyArm(TypedDict):
    """The end of one method's best run."""

    name: str  # of the arm
    lr: float | None  # learning rate of that run; null when none ended
    nll: float | None  # at its last step, on the selection set
    below: bool  # whether that is below the untouched model's


class Survey(TypedDict):
    """Every method of a group for a few steps; it judges nothing."""

    methods: list[str]  # methods and groups that were asked for
    base_nll: float  # of the untouched model, on the selection set
    left_out: dict[str, str]  # methods that the model cannot carry, with the reason
    arms: list[SurveyArm]  # in the study's order


class Citation(TypedDict):
    """A paper to cite."""

    method: str  # whose it is
    arxiv: str  # number of the paper
    title: str  # of the paper
    bibtex: str  # entry to paste


class AnswersOf(TypedDict):
    """How one arm answers."""

    arm: str  # its name
    accuracy: float  # share of right answers, mean over fresh seeds
    per_seed: list[float]  # of each
    only_arm: int | None  # answers that it has right and the reference wrong; null for the reference
    only_reference: int | None  # the other way round
    p: float | None  # exact McNemar test of the two
    sentence: str  # for a person


class ExactMatch(TypedDict):
    """Right answers to the test questions, by greedy decoding."""

    questions: int  # test examples that have a short answer
    base: float | None  # share that the untouched model has right
    chance: float | None  # share of the commonest answer
    floor: bool  # no arm is above chance, so accuracy says nothing
    note: str | None  # what to know
    arms: list[AnswersOf]  # the reference first


class Rule(TypedDict):
    """A rule of thumb that the runs support, or what is missing for one."""

    rule: str  # its key
    sentence: str  # for a person
    enough: bool  # whether there was enough data to say anything
    evidence: dict[str, Any]  # the numbers in the sentence


class Results(TypedDict):
    """What the study found: no clock and no machine in it, so a resumed study gives the same bytes."""

    schema: NotRequired[int]  # version of this format
    study: Question  # what was asked
    cell: StudyCell  # on what
    training: Training  # how
    base: Untouched  # where training began
    arms: Filled[Arm]  # in the study's order
    search: NotRequired[Search]  # price of the search
    verdict: Conclusion  # the answer
    allowed: NotRequired[Allowed | None]  # the margin in nats; null without fresh seeds
    looks: NotRequired[LooksTaken | None]  # null without fresh seeds
    traps: list[str]  # what could mislead, as sentences
    faults: list[Fault]  # what failed
    survey: NotRequired[Survey]  # only of a survey
    citations: list[Citation]  # of the methods
    exact_match: NotRequired[ExactMatch | None]  # null unless asked for
    rules: NotRequired[list[Rule]]  # rules of thumb


class ArmCost(TypedDict, total=False):
    """What an arm costs; shares are of the reference. Null: not measured."""

    flops_ratio: float | None  # operations per training example
    trainable_ratio: float | None  # parameters
    seconds_per_step: float | None  # trained alone in a process of its own
    time_ratio: float | None  # of that
    peak_memory_bytes: float | None  # trained alone
    memory_ratio: float | None  # of that
    adapter_bytes: float | None  # on disk, estimated from its parameters
    bytes_ratio: float | None  # of that
    search_seconds: float  # time of its runs in the search


class StudyCost(TypedDict):
    """Clocks, which differ from run to run."""

    arms: dict[str, ArmCost]  # by name
    study_seconds: float  # wall time, all sessions
    training_seconds: NotRequired[float]  # of all runs
    seed_seconds: NotRequired[float]  # of one fresh seed, the reference and all arms that are judged
    runs: int  # in the ledger


class StudyDocument(TypedDict):
    """The file of a study."""

    results: Results  # what was found
    cost: StudyCost  # what it took
    provenance: Provenance  # with what
