"""Where the command line writes: results to standard output, progress and messages to standard error."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from rankwise.errors import UsageError
from rankwise.execution.progress import Progress as StudyProgress
from rankwise.report.clean import clean_text
from rankwise.studies.running.allocator import keep_freed_memory


class Safe(Console):
    """A console whose words are only words: no text that it is given acts as a terminal's code."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Make what is printed of every str, in tables too."""
        return super().render_str(clean_text(text), **options)


def out() -> Console:
    """Standard output."""
    return Safe()


def err() -> Console:
    """Standard error."""
    return Safe(stderr=True)


def say(console: Console, text: str) -> None:
    """Print one plain line, whatever is in it."""
    console.print(escape(text), highlight=False, soft_wrap=True)


def must_be_new(path: Path) -> None:
    """Refuse an output that exists, before any model is loaded.

    Raises:
        UsageError: there is something at ``path``.
    """
    if os.path.lexists(path):
        raise UsageError(f"{path} exists already and is not overwritten; give another --out, or remove it first.")


def make_progress(report_to: list[str], folder: Path, config: dict[str, Any]) -> StudyProgress:
    """Get ready to train and watch it: bars on a terminal, plain lines elsewhere, around them the trackers asked for.

    Raises:
        UsageError: an unknown tracker, or one that is not installed.
    """
    keep_freed_memory()
    console = err()
    plain = Bars(console) if console.is_terminal else Lines(console)
    if not report_to:
        return plain
    from rankwise.integrations.trackers import track

    try:
        return track(plain, report_to, project=folder.name, folder=folder, config=config)
    except Exception:
        plain.close()
        raise


@contextlib.contextmanager
def watching(folder: Path, config: dict[str, Any], report_to: Sequence[str] = ()) -> Iterator[StudyProgress]:
    """Open a block whose training is shown, and cleared from the terminal at its end, whatever the end is."""
    progress = make_progress(list(report_to), folder, config)
    try:
        yield progress
    finally:
        progress.close()


class Lines(StudyProgress):
    """One plain line per event, with the time left."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.total = self.finished = 0
        self.left = _TimeLeft()

    def note(self, text: str) -> None:
        """Print the note."""
        self._print(text)

    def plan(self, total: int, done: int) -> None:
        """Remember the count."""
        self.total, self.finished = total, max(done, self.finished)

    def done(self, label: str, status: str, nll: float | None, seconds: float) -> None:
        """Print the run's score and what is left."""
        self.finished += 1
        self.left.add(seconds)
        score = f"selection NLL {nll:.4f}" if nll is not None else status
        score += ", paused" if status == "paused" else ""
        self._print(f"[{self.finished}/{self.total}] {label}: {score} ({seconds:.1f} s{self._rest()})")

    def _rest(self) -> str:
        rest = self.left.estimate(self.total - self.finished)
        return "" if rest is None else f", about {rest} left"

    def _print(self, text: str) -> None:
        self.console.print(escape(text), highlight=False, soft_wrap=True)


class Bars(Lines):
    """A bar for the study and a line for the current run."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rest]}"),
        )
        self.bars = Progress(*columns, TimeRemainingColumn(elapsed_when_finished=True), console=console, transient=True)
        self.study = self.bars.add_task("runs", total=None, rest="")
        self.current = self.bars.add_task("", total=None, rest="", visible=False)
        self.bars.start()

    def plan(self, total: int, done: int) -> None:
        """Set the study's bar."""
        super().plan(total, done)
        self.bars.update(self.study, total=self.total, completed=self.finished)

    def start(self, label: str, steps: int) -> None:
        """Start the run's bar."""
        self.bars.reset(self.current, total=steps, description=escape(label), rest="", visible=True)

    def together(self, runs: int, steps: int) -> None:
        """Start a bar for all of them."""
        self.bars.reset(self.current, total=steps, description=f"{runs} runs together", rest="", visible=True)

    def advance(self) -> None:
        """Move it."""
        self.bars.advance(self.current)

    def step(self, step: int, loss: float) -> None:
        """Move the run's bar."""
        self.bars.update(self.current, completed=step, rest=f"loss {loss:.3f}")

    def done(self, label: str, status: str, nll: float | None, seconds: float) -> None:
        """Print the run's line above the bars."""
        super().done(label, status, nll, seconds)
        self.bars.update(self.study, completed=self.finished, rest=self._rest().removeprefix(", "))
        self.bars.update(self.current, visible=False)

    def close(self) -> None:
        """Remove the bars."""
        self.bars.stop()


class _TimeLeft:
    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.started = time.monotonic()

    def add(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def estimate(self, runs: int) -> str | None:
        if not self.seconds or runs <= 0:
            return None
        recent = self.seconds[-8:]
        rest = runs * sum(recent) / len(recent)
        return f"{rest / 60:.0f} min" if rest >= 90 else f"{rest:.0f} s"
