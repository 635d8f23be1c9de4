"""A study's resolved configuration: what ``study.yaml`` holds. Strict: an unknown key is an error."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from rankwise.data.columns import parse_columns
from rankwise.engine import TrainSpec
from rankwise.errors import unknown
from rankwise.stats.crossed import FEWEST_SEEDS
from rankwise.stats.looks import HORIZON
from rankwise.stats.margin import Margin
from rankwise.studies.arm import MOST as MOST
from rankwise.studies.arm import Arm as Arm
from rankwise.studies.arm import Count as Count
from rankwise.studies.arm import MadeBy as MadeBy
from rankwise.studies.arm import Strict as Strict
from rankwise.studies.settings import refusal

# As the option spells it, or as a mapping; kept as a mapping.
ColumnsSetting = Annotated[
    dict[str, str] | None, BeforeValidator(lambda given: None if given is None else parse_columns(given))
]
CheapestBy = Literal["flops", "memory", "time", "params", "bytes"]

# Settings that may gain entries in an existing study folder; every finished run is kept.
GROWABLE = frozenset(
    {"arms", "learning_rates", "learning_rates.*", "fresh_seeds"}
    # These change no run, only how many are judged, and what is recommended and known about the runs there are.
    | {"finalists", "cheapest_by", "measure", "at_least", "limit_seconds"}
)
# Where in a configuration it says what a thing came from: of no run's numbers, so a folder with another one goes on.
ORIGINS = frozenset({"made_by"})
MEASURED = ("memory", "time")  # choices of `cheapest_by` that nothing but a measurement gives


SCORES = 10_000  # of one run's selection split
# A page of so many arms can hardly be read, and planning a run takes a twentieth of a second (all methods: 70 arms).
ARMS = 200
RATES = 100  # of one arm's grid
SEEDS = 1_000
RUNS = 10_000  # of what is crossed with what
EXPECTED_SEEDS = 4  # fresh seeds that a study with looks is reckoned to take
Amount = Annotated[int, Field(ge=0, le=MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what torch's generators take


class Sizes(Strict):
    """Examples per split, at most."""

    train: Count
    selection: Count
    test: Count


class Halving(Strict):
    """How successive halving stops runs early (see :mod:`rankwise.studies.search.halving`).

    Attributes:
        eta: of an arm's learning rates one in ``eta`` goes on at a rung (two at least at the first one).
        first: share of a run's steps before the first rung.
        arms: stop whole arms too, those that would get no fresh seeds (one more goes on at first); the report then
            shows them as far as they went.
    """

    eta: float = Field(default=3.0, ge=2, le=4)
    first: float = Field(default=0.2, ge=0.2, lt=1)
    arms: bool = False


class Budget(Strict):
    """A time to fit into.

    Attributes:
        seconds: of the whole command, a resumed one's earlier sessions included.
        asked: settings that the plan changed to fit, as they were asked for.
    """

    seconds: float = Field(gt=0)
    asked: dict[str, Any] = Field(default_factory=dict)


class StudyConfig(Strict):
    """Everything that decides a study's numbers.

    Attributes:
        reference: ``full``, or ``best-rank`` where full fine-tuning does not fit: the first arm, LoRA at a high rank.
        learning_rates: grid per arm name, ascending.
        seed: seed of the screening runs and of the data split.
        fresh_seeds: seeds of the runs the verdict uses; the screening seed is never among them.
        finalists: how many arms besides the reference get fresh seeds.
        margin: share of full fine-tuning's gain an arm may lose and still match.
        margin_loss: share of full fine-tuning's own loss that it may lie above it and still match; null: not asked.
        margin_floor: nats per token that it may lie above it besides.
        until: ``seeds`` looks once, after all fresh seeds; ``decided`` looks after each from the third on, and stops
            when all is decided or going on is futile (:mod:`rankwise.stats.looks`). Fresh seeds are then those allowed.
        horizon: fresh seeds by which a study that looks often has spent nine tenths of its error.
        at_least: fresh seeds that are run even when all is decided before.
        limit_seconds: of training, after which no further round of fresh seeds begins; null: no limit.
        search: ``grid`` trains every learning rate to the end, ``halving`` stops the worse ones early.
        halving: how, with search ``halving``.
        widen: new learning rates an arm may get, at most, when its best one is at the edge of the grid.
        refine: rerun the optimum of a quadratic through the best rate and its neighbors when it promises more than
            this share of the arm's gain, and give the reference as many rates as any arm; null: neither.
        completion_style: ``hashes`` ends a worked solution with ``#### answer``, ``think`` puts it in ``<think>``.
        system: system message for conversations that have none.
        columns: which columns of the file, or templates over them, are read as what (:mod:`rankwise.data.columns`).
        eval_every: steps between two scores of the selection split.
        budget: a time the study was fitted to, and what it gave up for that.
        exact_match: test questions that fresh runs answer by greedy decoding; 0 leaves it out.
        cheapest_by: the cost by which the cheapest arm that matches is recommended.
        measure: time and memory of the reference and the finalists, each alone in a fresh process.
        survey: the methods and groups of a survey, which judges nothing (see :mod:`rankwise.studies.presets.survey`).
        checkpoint_seconds: least time between two checkpoints of a run.
    """

    preset: str
    scale: str
    model: str = "default"
    data: str = "word-problems"
    reference: Literal["full", "best-rank"] = "full"
    arms: tuple[Arm, ...] = Field(min_length=1, max_length=ARMS)
    learning_rates: dict[str, Annotated[tuple[float, ...], Field(max_length=RATES)]]
    steps: Count
    batch: Count
    micro_batch: Count
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, ge=0)
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    eval_every: Count
    sizes: Sizes
    max_length: int = Field(ge=8, le=MOST)
    completion_style: Literal["hashes", "think"] = "hashes"
    system: str | None = None
    columns: ColumnsSetting = None
    seed: Seed = 0
    fresh_seeds: tuple[Seed, ...] = Field(default=(1, 2, 3), max_length=SEEDS)
    finalists: Amount = 2
    margin: float = Field(default=0.05, gt=0, lt=1)
    margin_loss: float | None = Field(default=None, ge=0, le=10)
    margin_floor: float = Field(default=0.0, ge=0, le=10)
    until: Literal["seeds", "decided"] = "seeds"
    horizon: int = Field(default=HORIZON, ge=FEWEST_SEEDS, le=100)
    at_least: Amount = 0
    limit_seconds: float | None = Field(default=None, gt=0)
    search: Literal["halving", "grid"] = "grid"
    halving: Halving = Halving()
    widen: Amount = 1
    refine: float | None = Field(default=None, gt=0, lt=1)
    budget: Budget | None = None
    exact_match: Amount = 0
    cheapest_by: CheapestBy = "flops"
    measure: bool = True
    survey: tuple[str, ...] = ()
    checkpoint_seconds: float = Field(default=30.0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> StudyConfig:
        names = [arm.name for arm in self.arms]
        if len(set(names)) != len(names):
            raise ValueError(f"arm names must be unique, found {', '.join(names)}")
        if self.reference == "full" and (self.arms[0].name != "full" or self.arms[0].method != "full"):
            raise ValueError("the first arm must be the reference, named and with method 'full'")
        for name in self.learning_rates:
            if name not in names:
                raise unknown("arm in learning_rates", name, names)
        if missing := [name for name in names if name not in self.learning_rates]:
            raise ValueError(f"learning_rates needs one grid per arm, and has none for {', '.join(missing)}")
        for name, grid in self.learning_rates.items():
            if not grid or list(grid) != sorted(set(grid)) or grid[0] <= 0:
                raise ValueError(f"learning_rates of {name} must be positive and ascending, found {list(grid)}")
        if self.seed in self.fresh_seeds or len(set(self.fresh_seeds)) != len(self.fresh_seeds):
            raise ValueError(
                f"fresh_seeds must be distinct and must not hold the screening seed {self.seed}, found "
                f"{list(self.fresh_seeds)}"
            )
        if self.steps // self.eval_every > SCORES:
            raise ValueError(
                f"eval_every {self.eval_every} scores a run of {self.steps:,} steps over {SCORES:,} times; raise it"
            )
        if self.search == "grid" and self.halving != Halving():
            raise ValueError("halving has options, but search is 'grid'; set search to 'halving' or leave them out")
        if self.cheapest_by in MEASURED and not self.measure:
            raise ValueError(f"cheapest_by {self.cheapest_by} needs measure: true")
        if self.survey and (self.fresh_seeds or self.finalists):
            raise ValueError("a survey judges nothing; leave fresh_seeds empty and finalists 0, or name single methods")
        if self.until == "decided" and self.fresh_seeds:
            self._looks_can_be_taken()
        for arm in self.arms:
            arm.target()  # raises UsageError for an unknown method or an illegal option
        return self

    def _looks_can_be_taken(self) -> None:
        if self.survey or not self.finalists:
            raise ValueError("until 'decided' needs finalists to decide on; a survey, or finalists 0, judges nothing")
        if len(self.fresh_seeds) < FEWEST_SEEDS:
            raise ValueError(
                f"until 'decided' looks first after {FEWEST_SEEDS} fresh seeds; allow as many, found "
                f"{len(self.fresh_seeds)}"
            )
        if self.at_least > len(self.fresh_seeds):
            raise ValueError(f"at_least {self.at_least} is more than the {len(self.fresh_seeds)} fresh seeds allowed")

    @property
    def judged_by(self) -> Margin:
        """What an arm may lose and still match."""
        return Margin(self.margin, self.margin_loss, self.margin_floor)

    @property
    def expected_seeds(self) -> int:
        """Fresh seeds to reckon with: those planned, or about as many as it takes to decide."""
        return len(self.fresh_seeds) if self.until == "seeds" else min(len(self.fresh_seeds), EXPECTED_SEEDS)

    @property
    def reference_arm(self) -> Arm:
        """What every other arm is held against: the first arm."""
        return self.arms[0]

    @property
    def reference_words(self) -> str:
        """The reference as it is named inside a sentence."""
        return "full fine-tuning" if self.reference_arm.method == "full" else self.reference_arm.label

    def arm(self, name: str) -> Arm:
        """Return an arm by name."""
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def eval_steps(self) -> tuple[int, ...]:
        """The steps at which runs are scored on the selection split."""
        return tuple(range(self.eval_every, self.steps + 1, self.eval_every))

    def batch_of(self, arm: Arm) -> int:
        """Return how many examples a step of ``arm`` reads."""
        return arm.batch or self.batch

    def train_spec(self, arm: Arm, lr: float, seed: int) -> TrainSpec:
        """Return the run of ``arm`` at one learning rate and seed; a study asks its runner for the job's instead."""
        return TrainSpec(
            target=arm.target(),
            lr=lr,
            steps=self.steps,
            batch=self.batch_of(arm),
            micro_batch=min(self.micro_batch, self.batch_of(arm)),
            schedule=self.schedule,
            weight_decay=self.weight_decay,
            clip=self.clip,
            eval_steps=self.eval_steps,
            seed=seed,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return self.model_dump(mode="json")


def default_settings() -> dict[str, Any]:
    """Return every setting that has a default, as JSON values: what an older ``study.yaml`` does not name."""
    fields = StudyConfig.model_fields.items()
    return {name: _plain(field.default) for name, field in fields if not field.is_required()}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value


def parse_config(values: dict[str, Any]) -> StudyConfig:
    """Validate a dict into a configuration.

    Raises:
        UsageError: one sentence naming the first wrong setting, what it needs and the value found.
    """
    try:
        return StudyConfig.model_validate(values)
    except ValidationError as error:
        raise refusal(error, StudyConfig) from None
