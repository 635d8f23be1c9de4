"""What a running study reports. The base class ignores all of it; the command line shows it."""

from __future__ import annotations


class Progress:
    """Called by the runner in this order: plan, then for each run start, step and score many times, done."""

    def note(self, text: str) -> None:
        """One line worth reading once."""

    def plan(self, total: int, done: int) -> None:
        """``total`` runs are planned now (it grows when a grid widens), ``done`` are finished."""

    def start(self, label: str, steps: int) -> None:
        """A run begins."""

    def together(self, runs: int, steps: int) -> None:
        """Several runs begin in shared passes, ``steps`` steps in all; calls from start to done follow for each."""

    def advance(self) -> None:
        """One of them took a step."""

    def step(self, step: int, loss: float) -> None:
        """A training step ended."""

    def score(self, step: int, nll: float) -> None:
        """The selection split was scored."""

    def done(self, label: str, status: str, nll: float | None, seconds: float) -> None:
        """A run ended: done, diverged, failed, or paused until it is decided whether it goes on."""

    def close(self) -> None:
        """Nothing more will be told."""


class Passing(Progress):
    """Passes everything on to ``inner``; override what is to be told otherwise, or to others too."""

    def __init__(self, inner: Progress) -> None:
        self.inner = inner

    def note(self, text: str) -> None:
        """Pass it on."""
        self.inner.note(text)

    def plan(self, total: int, done: int) -> None:
        """Pass it on."""
        self.inner.plan(total, done)

    def start(self, label: str, steps: int) -> None:
        """Pass it on."""
        self.inner.start(label, steps)

    def together(self, runs: int, steps: int) -> None:
        """Pass it on."""
        self.inner.together(runs, steps)

    def advance(self) -> None:
        """Pass it on."""
        self.inner.advance()

    def step(self, step: int, loss: float) -> None:
        """Pass it on."""
        self.inner.step(step, loss)

    def score(self, step: int, nll: float) -> None:
        """Pass it on."""
        self.inner.score(step, nll)

    def done(self, label: str, status: str, nll: float | None, seconds: float) -> None:
        """Pass it on."""
        self.inner.done(label, status, nll, seconds)

    def close(self) -> None:
        """Pass it on."""
        self.inner.close()
