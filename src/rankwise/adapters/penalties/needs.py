"""What penalties on the pair A, B ask of an adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rankwise.errors import UsageError

if TYPE_CHECKING:
    from rankwise.adapters.composition import Composition


def needs_pair(adapter: Composition, name: str) -> None:
    """Refuse an adapter that is not B A with an A that trains.

    Raises:
        UsageError: naming the penalty and what was found.
    """
    if adapter.parametrization.offers != "pair":
        raise UsageError(
            f"penalty {name!r} is about the rows of A in B A and needs parametrization 'low-rank', found "
            f"{adapter.parametrization.name!r}."
        )
    if "A" not in adapter.trained_shapes("", 8, 8):
        raise UsageError(f"penalty {name!r} acts on A, which must train; found {adapter.freezing.describe()}.")
