"""What shares a pass: the planner, the pack, what trains and the forward pass all ask here.

No answer changes a number of any run.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from rankwise.adapters import Adapter, Full


def company(target: Adapter | Full) -> Hashable | None:
    """Return what runs that share passes have in common; None: ``target`` goes alone.

    Alone go owners of base weights (full fine-tuning, some events), what chooses the codes of W0, prompts (their
    sequences are longer), what acts between two passes of a window, and what makes its own loss. The others share with
    those that see the same W0: codes of one kind under the same layers, or no codes at all.
    """
    if isinstance(target, Full) or target.owns_base or target.init.quantized or target.parametrization.kind == "prompt":
        return None
    if any(event.owns_loss or event.passes is not None for event in target.events):
        return None
    return (target.storage, target.placement) if target.storage.quantizes else "the base as it is"


def alone(target: Adapter | Full) -> bool:
    """Return whether ``target`` cannot share a pass."""
    return company(target) is None


def shares(one: Adapter | Full, other: Adapter | Full) -> bool:
    """Return whether both can be trained in the same passes."""
    return not alone(one) and company(one) == company(other)


def joined(rows: Sequence[int], least: int | None) -> list[int]:
    """Return which parts of a shared pass share matrix products too; each of the others gets products of its own.

    Args:
        rows: of every part.
        least: rows from which the bits of a row no longer depend on those beside it; None: they always do.
    """
    return [i for i, count in enumerate(rows) if least is not None and count >= least]
