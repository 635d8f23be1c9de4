"""The contract of a strategy: how a new task is learned beside those that came before.

A strategy composes what the adapters room has (penalties, events, frozen pairs) and says where a task begins, what it
trains on and which adapter answers. It trains nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters import Adapter
from rankwise.adapters.axis import Choice
from rankwise.data import Encoded
from rankwise.engine import State
from rankwise.errors import RunError

Answers = Literal["one", "oracle", "router"]
MERGED = "merged/"


@dataclass(frozen=True)
class Strategy(Choice):
    """One strategy with its options (plain JSON values).

    Attributes:
        arxiv: of the paper; "-" for a baseline or a form of ours. Always shown: names in this field collide.
        answers: "one" state answers every task; "oracle": the task's own adapter, the task being told; "router": the
            adapter of the nearest centroid.
        stores: earlier updates stay frozen beside the one that trains, so the rank grows.
    """

    title: ClassVar[str]
    arxiv: ClassVar[str] = "-"
    formula: ClassVar[str]
    answers: ClassVar[Answers] = "one"
    stores: ClassVar[bool] = False

    def adapter(self, plain: Adapter, first: bool) -> Adapter:
        """Return what trains on a task; ``first``: nothing came before."""
        return plain

    def start(self, fresh: Mapping[str, Tensor], before: State | None) -> State | None:
        """Return where a task begins; None: the adapter's own start.

        Args:
            fresh: the adapter's own start on this task, as tensors.
            before: what the task before ended with; None for the first one.
        """
        return None

    def examples(self, own: Sequence[Encoded], earlier: Sequence[Sequence[Encoded]], seed: int) -> tuple[Encoded, ...]:
        """Return what a task trains on, given its own examples and those of earlier tasks in their order."""
        return tuple(own)

    def stored(self, sizes: Sequence[int]) -> int:
        """Return how many examples are kept to go on, given how many training examples each learned task has."""
        return 0


def beside(fresh: Mapping[str, Tensor], before: State) -> State:
    """Return a new start with the update of ``before`` frozen beside it, after the pairs frozen already."""
    tensors = dict(fresh)
    for name, value in before.tensors.items():
        factor = name.rpartition(".")[2]
        if name.startswith(MERGED) or factor not in ("A", "B"):
            continue
        earlier = before.tensors.get(f"{MERGED}{name}")
        tensors[f"{MERGED}{name}"] = value if earlier is None else torch.cat([earlier, value], dim=int(factor == "B"))
    return State(tensors)


def check_frozen(label: str, start: State | None, end: State) -> None:
    """Hold the frozen pairs a task began with against those it ended with.

    Raises:
        RunError: one of them changed.
    """
    for name, value in (start.tensors if start is not None else {}).items():
        if name.startswith(MERGED):
            after = end.tensors.get(name)
            kept = None if after is None else after[: len(value)] if name.endswith("A") else after[:, : value.shape[1]]
            if kept is None or not torch.equal(kept, value):
                raise RunError(f"{label} changed the frozen adapter of an earlier task ({name}); report this as a bug.")
