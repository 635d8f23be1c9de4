"""Presets of another kind: studies with a configuration, arms and a result file of their own, and no reference.

One entry a preset, by name. What it needs is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from rankwise.studies.results.schema import AnyDocument


class OtherConfig(Protocol):
    """The resolved configuration of such a study."""

    scale: str
    model: str
    data: str
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""


@dataclass(frozen=True)
class OtherKind:
    """How such a study is made.

    Attributes:
        resolve: makes the configuration of a scale and of changed settings.
        run: runs it: configuration, folder, ``progress``, ``command`` → the result document.
        runs, arms: labels of the runs a configuration makes, and of its arms.
    """

    resolve: Callable[[str, dict[str, Any]], Any]
    run: Callable[..., AnyDocument]
    runs: Callable[[Any], list[str]]
    arms: Callable[[Any], list[str]]


def _orthogonalization() -> OtherKind:
    from rankwise.studies.orthogonalization.config import arm_labels, resolve_events
    from rankwise.studies.orthogonalization.study import run_events, run_labels

    return OtherKind(resolve_events, run_events, run_labels, arm_labels)


OTHER_KINDS: dict[str, Callable[[], OtherKind]] = {"orthogonalization": _orthogonalization}
