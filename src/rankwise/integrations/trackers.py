"""Experiment trackers (``--report-to``): what the engine observes, sent to trackio, wandb, mlflow or tensorboard.

A tracker is a thin observer of one run after another: ``start(name, config)``, ``log(record)``, ``finish()``, where a
record is the engine's ``{"step", "loss"}`` or ``{"step", "selection_nll"}``. :func:`track` puts trackers around a
study's :class:`~rankwise.execution.progress.Progress`. None is used unless asked for.
"""

from __future__ import annotations

import abc
import contextlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from rankwise.errors import UsageError, unknown
from rankwise.execution.progress import Passing, Progress

Record = Mapping[str, Any]


class Tracker(abc.ABC):
    """Sends the runs of one study to one back end.

    Args:
        project: what the back end groups runs by.
        folder: the study's folder, for back ends that write files where they are told.
    """

    package: ClassVar[str]

    def __init__(self, project: str, folder: Path) -> None:
        self.project, self.folder = project, folder

    @property
    def module(self) -> Any:
        """The back end's package, imported when first used."""
        return importlib.import_module(self.package)

    @abc.abstractmethod
    def start(self, run_name: str, config: Mapping[str, Any]) -> None:
        """A run begins; ``config`` holds plain values by dotted name."""

    @abc.abstractmethod
    def log(self, record: Record) -> None:
        """One record of the run: a step and what was measured there."""

    @abc.abstractmethod
    def finish(self) -> None:
        """The run ended."""


class Tensorboard(Tracker):
    """Event files in ``<folder>/tensorboard/<run>``."""

    package = "tensorboard"

    def start(self, run_name: str, config: Mapping[str, Any]) -> None:
        """Open the run's event file."""
        from torch.utils.tensorboard import SummaryWriter

        path = self.folder / "tensorboard" / re.sub(r"[^\w.=-]+", "_", run_name)
        self.writer: Any = SummaryWriter(str(path))
        # Four spaces: markdown shows the lines as they are.
        self.writer.add_text("config", "\n".join(f"    {key}: {value}" for key, value in config.items()))

    def log(self, record: Record) -> None:
        """Add scalars."""
        for name, value in _metrics(record).items():
            self.writer.add_scalar(name, value, record["step"])

    def finish(self) -> None:
        """Close the file."""
        self.writer.close()


class Trackio(Tracker):
    """Hugging Face's local tracker; look with ``trackio show``. ``TRACKIO_DIR`` says where it keeps its files."""

    package = "trackio"

    def start(self, run_name: str, config: Mapping[str, Any]) -> None:
        """Open a run in the project."""
        self.run: Any = self.module.init(project=self.project, name=run_name, config=dict(config))

    def log(self, record: Record) -> None:
        """Log at the record's step."""
        self.run.log(_metrics(record), step=record["step"])

    def finish(self) -> None:
        """Flush and close."""
        self.module.finish()


class Wandb(Tracker):
    """Weights & Biases; ``WANDB_MODE=offline`` keeps everything in ``<folder>/wandb``."""

    package = "wandb"

    def start(self, run_name: str, config: Mapping[str, Any]) -> None:
        """Open a run in the project."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run: Any = self.module.init(project=self.project, name=run_name, config=dict(config), dir=str(self.folder))

    def log(self, record: Record) -> None:
        """Log at the record's step."""
        self.run.log(_metrics(record), step=record["step"])

    def finish(self) -> None:
        """Close the run."""
        self.run.finish()


class Mlflow(Tracker):
    """MLflow, at ``MLFLOW_TRACKING_URI`` or its own default store."""

    package = "mlflow"

    def start(self, run_name: str, config: Mapping[str, Any]) -> None:
        """Open a run in the experiment named as the project."""
        self.module.set_experiment(self.project)
        self.module.start_run(run_name=run_name)
        # 500 characters: some stores take no more.
        self.module.log_params({key: str(value)[:500] for key, value in config.items()})

    def log(self, record: Record) -> None:
        """Log at the record's step."""
        self.module.log_metrics(_metrics(record), step=record["step"])

    def finish(self) -> None:
        """End the run."""
        self.module.end_run()


TRACKERS: dict[str, type[Tracker]] = {
    "trackio": Trackio,
    "wandb": Wandb,
    "mlflow": Mlflow,
    "tensorboard": Tensorboard,
}


def make_trackers(names: Iterable[str], project: str, folder: Path) -> list[Tracker]:
    """Return the trackers named, before anything runs.

    Raises:
        UsageError: an unknown tracker, or one whose package is not installed.
    """
    trackers = []
    for name in dict.fromkeys(names):
        if name not in TRACKERS:
            raise unknown("tracker", name, TRACKERS)
        kind = TRACKERS[name]
        if importlib.util.find_spec(kind.package) is None:
            raise UsageError(f"tracker {name!r} needs the package {kind.package}: pip install {kind.package}.")
        trackers.append(kind(project, folder))
    return trackers


def track(
    progress: Progress, names: Iterable[str], *, project: str, folder: Path, config: Mapping[str, Any]
) -> Progress:
    """Return ``progress`` with trackers around it, or itself when no tracker is named.

    Args:
        config: the study's settings, sent with every run beside what the run's label says.
    """
    trackers = make_trackers(names, project, folder)
    return Tracked(progress, trackers, config) if trackers else progress


class Tracked(Passing):
    """Tells everything to ``inner`` and every run to the trackers.

    A tracker that fails is dropped with a note: a full disk or a lost network there must not cost a run.
    """

    def __init__(self, inner: Progress, trackers: list[Tracker], config: Mapping[str, Any]) -> None:
        super().__init__(inner)
        self.trackers, self.config = list(trackers), flat(config)
        self.running = False

    def start(self, label: str, steps: int) -> None:
        """Open a run in every tracker."""
        self.inner.start(label, steps)
        self._finish()
        arm, *settings = label.split()
        run = dict(setting.split("=", 1) for setting in settings if "=" in setting)
        self.running = True
        self._tell("start", label, {**self.config, "arm": arm, **run, "steps": steps})

    def step(self, step: int, loss: float) -> None:
        """Log the loss."""
        self.inner.step(step, loss)
        self._tell("log", {"step": step, "loss": loss})

    def score(self, step: int, nll: float) -> None:
        """Log the selection score."""
        self.inner.score(step, nll)
        self._tell("log", {"step": step, "selection_nll": nll})

    def done(self, label: str, status: str, nll: float | None, seconds: float) -> None:
        """Close the run in every tracker."""
        self.inner.done(label, status, nll, seconds)
        self._finish()

    def close(self) -> None:
        """Close what an interrupted run left open."""
        self._finish()
        self.inner.close()

    def _finish(self) -> None:
        if self.running:
            self.running = False
            self._tell("finish")

    def _tell(self, verb: str, *arguments: Any) -> None:
        for tracker in list(self.trackers):
            try:
                with contextlib.redirect_stdout(sys.stderr):  # trackio greets on standard output, which is for results
                    getattr(tracker, verb)(*arguments)
            except Exception as error:
                self.trackers.remove(tracker)
                reason = " ".join(str(error).split()) or type(error).__name__
                self.inner.note(f"{tracker.package} stopped ({reason}); the runs go on without it")


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted names; lists as text."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value if isinstance(value, (str, int, float, bool)) else str(value)
    return found


def _metrics(record: Record) -> dict[str, float]:
    return {name: float(value) for name, value in record.items() if name != "step"}
