"""What a person asks an analysis for, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rankwise.data import is_generated
from rankwise.errors import UsageError, unknown

SCALES: dict[str, dict[str, Any]] = {
    # Seconds, on a random model: shows that everything works, decides nothing.
    "smoke": {"model": "tiny", "dtype": "float32", "steps": 4, "batch": 4, "eval_every": 2, "sizes": (12, 4, 4)},
    # A few minutes on two CPU cores with the default model; the steps and batches of the quick study.
    "quick": {"model": "default", "dtype": "bfloat16", "steps": 20, "batch": 8, "eval_every": 5, "sizes": (160, 32, 8)},
}


@dataclass(frozen=True)
class Request:
    """An analysis with its options; what is None was not given.

    Attributes:
        model, data: as for a study; ``data`` lists several sets for analyses that compare tasks.
        columns: which columns of the data are read as what (:mod:`rankwise.data.columns`).
        ranks: ascending.
        lr: LoRA's learning rate; others keep their usual ratio to it.
        adapter: folder of a saved adapter to look at.
        train: train a full fine-tuning update and adapters to look at.
        study: folder of a finished study, or a .csv of scores.
        samples, outputs: numbers that bounds and ``min_rank`` are computed for.
        dimensions: sizes of the random subspaces that are trained in, ascending.
        given: names of the options that were given, as they are typed.
    """

    scale: str = "quick"
    model: str | None = None
    data: tuple[str, ...] = ()
    columns: str | Mapping[str, str] | None = None
    ranks: tuple[int, ...] = ()
    lr: float | None = None
    steps: int | None = None
    seed: int = 0
    adapter: Path | None = None
    train: bool = False
    study: Path | None = None
    samples: int | None = None
    outputs: int | None = None
    dimensions: tuple[int, ...] = ()
    given: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise unknown("scale of an analysis", self.scale, SCALES)
        if self.columns is not None and all(map(is_generated, self.data)):
            raise UsageError("--columns is about the rows of a file or a hub data set; name one with --data.")
        if any(rank < 1 for rank in self.ranks):
            raise UsageError(f"ranks must be at least 1, found {min(self.ranks)}.")
        if any(d < 1 for d in self.dimensions):
            raise UsageError(f"dimensions must be at least 1, found {min(self.dimensions)}.")
        for name in ("ranks", "dimensions"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))
        for name in ("steps", "samples", "outputs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name} must be at least 1, found {value}.")
        if self.lr is not None and not 0 < self.lr < float("inf"):
            raise UsageError(f"--lr must be a positive number, found {self.lr:g}.")

    def setting(self, name: str) -> Any:
        """Return a setting of the scale, unless it was given."""
        own = getattr(self, name, None)
        return own if own is not None else SCALES[self.scale][name]

    def ranks_or(self, smoke: tuple[int, ...], quick: tuple[int, ...]) -> tuple[int, ...]:
        """Return the given ranks, or the analysis's own at this scale."""
        return self.ranks or (smoke if self.scale == "smoke" else quick)

    def tasks(self, *default: str) -> tuple[str, ...]:
        """Return as many data sets as ``default`` has: the given ones, or the default.

        Raises:
            UsageError: another number of data sets was given.
        """
        if not self.data:
            return default
        if len(self.data) != len(default):
            needs = "one data set" if len(default) == 1 else f"{len(default)} data sets, as A,B"
            raise UsageError(f"this analysis needs {needs} in --data, found {len(self.data)}: {', '.join(self.data)}.")
        return self.data
