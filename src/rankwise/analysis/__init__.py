"""Measurements of published claims on one's own model; some of them train. One claim, one file, one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module

from rankwise.analysis.finding import Finding
from rankwise.analysis.request import Request
from rankwise.errors import UsageError, unknown
from rankwise.execution.progress import Progress

_COMMON = frozenset({"scale", "model", "data", "columns", "lr", "steps", "seed"})


@dataclass(frozen=True)
class Analysis:
    """One analysis.

    Attributes:
        question: what it answers, in one line.
        module: where its ``run(request, progress)`` is; imported when asked for.
        options: what it takes; another option is an error.
    """

    question: str
    module: str
    options: frozenset[str]

    def run(self, request: Request, progress: Progress) -> Finding:
        """Measure."""
        measure: Callable[[Request, Progress], Finding] = import_module(f"rankwise.analysis.{self.module}").run
        return with_notes(measure(request, progress))


def with_notes(finding: Finding) -> Finding:
    """Move the set-up's notes (a random model, runs that diverged) to the front of the caveats."""
    setup = {key: value for key, value in finding.setup.items() if key != "notes"}
    return replace(finding, setup=setup, caveats=(*finding.setup.get("notes", ()), *finding.caveats))


ANALYSES: dict[str, Analysis] = {
    "scale": Analysis("Does alpha/r fade out at high rank?", "scale", _COMMON | {"ranks"}),
    "spectrum": Analysis(
        "What do singular values say of rank: style, facts, an adapter?",
        "spectrum",
        _COMMON | {"ranks", "adapter", "train"},
    ),
    "subspace": Analysis("Do ranks, seeds and tasks share directions?", "subspace", _COMMON | {"ranks"}),
    "weights": Analysis("Do magnitude and direction move together?", "weights", _COMMON | {"ranks"}),
    "intrinsic-dim": Analysis("How few numbers are enough?", "intrinsic_dim", _COMMON | {"dimensions"}),
    "kernel": Analysis(
        "Is training linear, and what rank keeps its kernel?", "kernel", _COMMON | {"ranks", "samples", "outputs"}
    ),
    "forgetting": Analysis("Does LoRA learn less and forget less?", "forgetting", _COMMON | {"ranks"}),
    "asymmetry": Analysis("Is B worth more than A?", "asymmetry", _COMMON | {"ranks", "samples"}),
    "taxonomy": Analysis("How close can each kind of method come?", "taxonomy", _COMMON | {"ranks"}),
    "cycles": Analysis("Do gains last over several fine-tunings?", "cycles", _COMMON | {"ranks"}),
    "toys": Analysis("Three mechanisms without a model.", "toys", frozenset({"scale", "ranks", "seed"})),
    "olora": Analysis(
        "What does a finished olora study say?", "olora.study", frozenset({"scale", "study", "train", "dimensions"})
    ),
    "which-matrices": Analysis(
        "Which matrices at equal budget?", "which_matrices_study", frozenset({"scale", "study"})
    ),
}


def analyze(name: str, request: Request, progress: Progress | None = None) -> Finding:
    """Run one analysis.

    Raises:
        UsageError: an unknown name (with near misses), an option the analysis does not take, or bad input.
        RunError: a run diverged.
    """
    if name not in ANALYSES:
        raise unknown("analysis", name, ANALYSES)
    chosen = ANALYSES[name]
    for option in sorted(request.given - chosen.options):
        takes = ", ".join(f"--{o}" for o in sorted(chosen.options))
        raise UsageError(f"analyze {name} does not take --{option}; it takes {takes}.")
    return chosen.run(request, progress or Progress())


__all__ = ["ANALYSES", "Analysis", "Finding", "Request", "analyze"]

PUBLIC = (
    "finding",
    "request",
)
"""Modules that other rooms import."""
