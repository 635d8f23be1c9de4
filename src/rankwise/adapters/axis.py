"""What every choice on an axis shares: a frozen value with a name, written to and read from plain dicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, cast

from rankwise.errors import UsageError, unknown


@dataclasses.dataclass(frozen=True)
class Choice:
    """One choice on one axis. Subclasses are frozen dataclasses whose fields are plain JSON values."""

    name: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"name": ..., **options}``."""
        return {"name": self.name, **dataclasses.asdict(self)}


C = TypeVar("C", bound=Choice)


def register(*choices: type[C]) -> dict[str, type[C]]:
    """Build an axis's registry, name to class, for the edges (command line, checkpoints)."""
    return {choice.name: choice for choice in choices}


def resolve(axis: str, registry: Mapping[str, type[C]], value: Any) -> C:
    """Turn a name, a ``{"name": ..., **options}`` dict or a choice itself into a choice.

    Raises:
        UsageError: the name is unknown, or an option is not one of the choice's fields.
    """
    if isinstance(value, tuple(registry.values())):
        return cast("C", value)
    if not isinstance(value, str | Mapping):
        raise UsageError(f"{axis} must be a name or an object with a name, found {value!r:.60}.")
    spec: dict[str, Any] = {"name": value} if isinstance(value, str) else dict(value)
    name = spec.pop("name", None)
    if not isinstance(name, str) or name not in registry:
        raise unknown(axis, str(name), registry)
    choice = registry[name]
    fields = {f.name for f in dataclasses.fields(choice)}
    for option in spec:
        if option not in fields:
            raise UsageError(
                f"{axis} {name!r} has no option {option!r}; it takes {', '.join(sorted(fields)) or 'no options'}."
            )
    # JSON has no tuples; frozen, hashable choices have no lists.
    return choice(**{k: tuple(v) if isinstance(v, list) else v for k, v in spec.items()})
