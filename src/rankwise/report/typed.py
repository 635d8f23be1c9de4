"""A study's command as it was typed, taken apart, so that the next one can be made of it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

_FLAGS = ("--json", "--dry-run")  # without a value, and nothing to repeat


@dataclass(frozen=True)
class Typed:
    """``rankwise study`` with what followed.

    Attributes:
        preset: or the study's file; empty when it was left out.
        options: names and values, in order.
    """

    preset: str = ""
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, command: str) -> Typed:
        """Take a recorded command apart; another command than ``rankwise study`` gives an empty one."""
        try:
            words = shlex.split(command)
        except ValueError:  # an unbalanced quote in a recorded command: fall back to words
            words = command.split()
        if words[:2] != ["rankwise", "study"]:
            return cls()
        preset, options, rest = "", [], iter(words[2:])
        for word in rest:
            name, equals, value = word.partition("=")
            if word in _FLAGS:
                continue
            if not word.startswith("--"):
                preset = word
            elif value := value if equals else next(rest, ""):
                options.append((name, value))
        return cls(preset, tuple(options))

    @property
    def file(self) -> bool:
        """Whether a file says what the study is."""
        return self.preset.endswith((".yaml", ".yml"))

    def get(self, name: str) -> str | None:
        """Return the value of an option, None when it was not typed."""
        return dict(self.options).get(name)

    def only(self, *names: str) -> Typed:
        """Return the command with these options of those it has."""
        return replace(self, options=tuple(one for one in self.options if one[0] in names))

    def without(self, *names: str) -> Typed:
        """Return the command without these options; ``--set NAME`` is one of the settings."""
        dropped = {name for name in names if not name.startswith("--set ")}
        settings = {name.removeprefix("--set ") for name in names if name not in dropped}
        kept = [
            (name, value)
            for name, value in self.options
            if name not in dropped and not (name == "--set" and value.partition("=")[0] in settings)
        ]
        return replace(self, options=tuple(kept))

    def to(self, **options: object) -> Typed:
        """Return the command with options (``cheapest_by`` is ``--cheapest-by``) instead of those it has."""
        new = {"--" + name.replace("_", "-"): str(value) for name, value in options.items()}
        return replace(self.without(*new), options=(*self.without(*new).options, *new.items()))

    def set(self, name: str, value: object) -> Typed:
        """Return the command with a setting, instead of one it has."""
        rest = self.without(f"--set {name}")
        return replace(rest, options=(*rest.options, ("--set", f"{name}={value}")))

    def __str__(self) -> str:
        """What to paste into a POSIX shell."""
        words = ["rankwise", "study", *([self.preset] if self.preset else [])]
        return shlex.join([*words, *(word for option in self.options for word in option)])
