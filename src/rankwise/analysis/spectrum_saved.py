"""``analyze spectrum --adapter``: the singular spectra of a saved adapter beside the base's."""

from __future__ import annotations

import statistics

from rankwise.adapters import load
from rankwise.analysis.bench import Bench
from rankwise.analysis.finding import Finding, decide
from rankwise.analysis.measures.spectra import energy_rank
from rankwise.analysis.request import Request
from rankwise.analysis.spectrum_panels import measured_panels, measured_table
from rankwise.analysis.updates import Update, update_of
from rankwise.errors import UsageError
from rankwise.studies.progress import Progress


def saved(request: Request, progress: Progress) -> Finding:
    """Spectra of a saved adapter beside the base's."""
    for option in sorted(request.given & {"ranks", "steps", "lr", "data", "seed"}):
        raise UsageError(f"--{option} needs --train: a saved adapter is looked at as it is.")
    bench = Bench(request, progress)
    assert request.adapter is not None
    handle = load(bench.base.model, request.adapter, name="looked-at", base_fingerprint=bench.base.fingerprint)
    try:
        found = {name: update_of(slot) for name, slot in handle.slots.items()}
        rank = handle.adapter.rank * (1 + handle.adapter.init.edits_base)
    finally:
        handle.detach()
    names = [name for name in bench.modules() if name in found] or list(found)[:9]
    groups = {"adapter": {n: found[n] for n in names}, "base": {n: Update(W) for n, W in bench.weights(names).items()}}
    needed = {name: energy_rank(u.sigma) for name, u in groups["adapter"].items() if float(u.sigma.max()) > 0}
    if not needed:
        raise UsageError(f"the adapter in {request.adapter} is still zero in every module; train it first.")
    middle = statistics.median(needed.values())
    share = middle / rank
    return Finding(
        analysis="spectrum",
        claim="An adapter uses fewer directions than its rank offers: a lower rank would have done.",
        setup={**bench.setup(), "data": [], "adapter": str(request.adapter), "formula": repr(handle.adapter)},
        word=decide(share <= 0.5, share > 0.8),
        rule=(
            "Holds if the median module needs at most half of the rank for 90 % of the update's squared norm, does not "
            "hold if more than four fifths."
        ),
        why=f"The median module needs {middle:g} of {rank} directions.",
        interpretation=(
            "An update that spends nearly all of its energy in a few directions can be compressed to that rank with "
            "little change; one with a flat spectrum uses its whole rank and may want more. The base's own weights, "
            "drawn beside it, are nearly full rank: low rank is a property of the change, not of the model."
        ),
        panels=measured_panels(groups, names),
        tables=(measured_table(groups),),
        numbers={"rank_90_squares": needed, "rank": rank},
    )
