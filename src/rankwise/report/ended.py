"""A study that has ended, as its document tells it: what the next command is made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankwise.report.typed import Typed
from rankwise.report.view import Arm, Document
from rankwise.studies.results.schema import Asked

# What says which model and data a study is about, with what a command takes when it is left out.
USUAL = {"model": "default", "data": "word-problems", "columns": None, "max_length": 256}


class Ended:
    """The study that has ended, as its document tells it.

    Attributes:
        typed: its command.
        asked: its own folder, model and data, and how these are read; empty in older documents. Of several cells the
            command has all.
    """

    def __init__(self, document: Document) -> None:
        self.results, self.cost = document["results"], document["cost"]
        self.typed = Typed.read(document["provenance"]["command"])
        self.asked: Asked = document["provenance"].get("asked") or {}
        self.study, self.arms = self.results["study"], self.results["arms"]
        self.steps = int(self.results["training"]["steps"])
        self.seeds = list(self.study["fresh_seeds"])
        self.judged = [arm for arm in self.arms if not arm["reference"]]
        self.words = {arm["verdict"]["word"] for arm in self.judged}
        self.trained = any(arm["best_lr"] is not None for arm in self.arms)
        # Python's studies are continued on the command line by the resolved study in their own folder.
        self.from_python = self.typed.file and Path(self.typed.preset) == Path(self.whole) / "study.yaml"

    @property
    def looks_often(self) -> bool:
        """Whether it looks after every fresh seed, so that more of them can be added."""
        return self.study.get("until") == "decided"

    @property
    def seed_seconds(self) -> float | None:
        """What a fresh seed took, of the reference and every arm with fresh runs."""
        return self.cost.get("seed_seconds")

    @property
    def reference(self) -> Arm | None:
        """The arm that others are held against."""
        return next((arm for arm in self.arms if arm["reference"]), None)

    @property
    def whole(self) -> str:
        """The folder of the whole study, of all its cells: as typed, else where the command puts it."""
        if out := self.typed.get("--out"):
            return out
        return f"runs/{Path(self.typed.preset).stem if self.typed.file else self._named}"

    @property
    def folder(self) -> str:
        """The folder of this study itself."""
        return str(self.asked.get("folder") or self.whole)

    @property
    def _named(self) -> str:
        return f"{self.study['preset']}-{self.study['scale']}"

    def where(self) -> dict[str, str]:
        """Model, data and how these are read, as options; those that a command takes anyway are left out."""
        typed = {name: self.typed.get(f"--{name.replace('_', '-')}") for name in USUAL}
        asked: Mapping[str, Any] = self.asked
        found = {name: asked.get(name, value) for name, value in typed.items()}
        return {name: str(value) for name, value in found.items() if value and value != USUAL[name]}

    def here(self, command: Typed) -> Typed:
        """Return a command that extends this study: in its folder, unless a budget has fixed its plan."""
        return self.elsewhere(command, "more") if self.study.get("budget") else command

    def elsewhere(self, command: Typed, name: str) -> Typed:
        """Return a command for another study, in a folder beside this one."""
        return command.without("--budget").to(out=f"{self.whole}-{name}")
