"""``analyze spectrum --adapter``: the singular spectra of a saved adapter beside the base's."""

from __future__ import annotations

import statistics

from rankwise.adapters import load
from rankwise.adapters.slot import Slot
from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Finding, Word, decide
from rankwise.analysis.measures.spectra import energy_rank
from rankwise.analysis.request import Request
from rankwise.analysis.spectrum_panels import measured_panels, measured_table
from rankwise.analysis.updates import Update, update_of
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress


def saved(request: Request, progress: Progress) -> Finding:
    """Spectra of a saved adapter beside the base's."""
    for option in sorted(request.given & {"ranks", "steps", "lr", "data", "columns", "seed"}):
        raise UsageError(f"--{option} needs --train: a saved adapter is looked at as it is.")
    bench = Bench(request, progress)
    assert request.adapter is not None
    handle = load(bench.base.model, request.adapter, name="looked-at", base_fingerprint=bench.base.fingerprint)
    try:
        found = {name: update_of(slot) for name, slot in handle.slots.items()}
        offered = {name: offers(slot) for name, slot in handle.slots.items()}
    finally:
        handle.detach()
    names = [name for name in bench.modules() if name in found] or [name for name in found if name in bench.linear][:9]
    if not names:
        raise UsageError(f"the adapter in {request.adapter} sits on no linear module, so there are no spectra to see.")
    groups = {"adapter": {n: found[n] for n in names}, "base": {n: Update(W) for n, W in bench.weights(names).items()}}
    needed = {name: energy_rank(u.sigma) for name, u in groups["adapter"].items() if float(u.sigma.max()) > 0}
    if not needed:
        raise UsageError(f"the adapter in {request.adapter} is still zero in every module; train it first.")
    middle = statistics.median(needed.values())
    bounds = [offered[name] for name in needed]
    whole = [bound for bound in bounds if bound is not None]
    share = None
    if len(whole) == len(bounds):
        share = statistics.median(count / bound for count, bound in zip(needed.values(), whole, strict=True))
    return Finding(
        analysis="spectrum",
        claim="An adapter uses fewer directions than its rank offers: a lower rank would have done.",
        setup={**bench.setup(), "data": [], "adapter": str(request.adapter), "formula": repr(handle.adapter)},
        word=judge(share),
        rule=(
            "Holds if the median module needs at most half of the rank for 90 % of the update's squared norm, does not "
            "hold if more than four fifths; otherwise undecided, and undecided too where the adapter's rank does not "
            "bound the rank of its update."
        ),
        why=(
            f"The median module needs {middle:g} directions, but the adapter's rank does not bound the rank of this "
            "kind of update, so there is nothing to hold this against."
            if share is None
            else f"The median module needs {middle:g} of {_span(whole)} directions."
        ),
        interpretation=(
            "An update that spends nearly all of its energy in a few directions can be compressed to that rank with "
            "little change; one with a flat spectrum uses its whole rank and may want more. The base's own weights, "
            "drawn beside it, are nearly full rank: low rank is a property of the change, not of the model."
        ),
        panels=measured_panels(groups, names),
        tables=(measured_table(groups),),
        numbers={"rank_90_squares": needed, "rank": max(whole) if share is not None else None, "share": share},
    )


def judge(share: float | None) -> Word:
    """Return the word from the share of its rank that the median module needs; None: the rank bounds nothing."""
    return "undecided" if share is None else decide(share <= 0.5, share > 0.8)


def offers(slot: Slot) -> int | None:
    """Return how many directions the update of one layer can have at most, None where its rank does not bound them.

    An init that edits the base makes an update of twice the rank; no update has more than the layer's smaller side.
    """
    plain = slot.plain() if slot.parametrization.ranked else None
    bound = slot.rank * (1 + slot.edits_base)
    if plain is None or len(plain[0]) > bound:
        return None
    return min(bound, *slot.W0.shape)


def _span(bounds: list[int]) -> str:
    return f"{min(bounds)}" if len(set(bounds)) == 1 else f"its {min(bounds)} to {max(bounds)}"
