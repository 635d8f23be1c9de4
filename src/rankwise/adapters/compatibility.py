"""Which choices go together, from the traits each declares: used when an adapter is made and for the pair table."""

from __future__ import annotations

from rankwise.adapters.freezing import Freezing
from rankwise.adapters.inits import Init
from rankwise.adapters.parametrizations import Parametrization
from rankwise.adapters.storages import Storage


def start_objection(parametrization: Parametrization, init: Init) -> str:
    """Return why ``init`` cannot start ``parametrization``, or an empty string."""
    shape, start = f"parametrization {parametrization.name!r}", f"init {init.name!r}"
    if not parametrization.needs and init.gives:
        return f"{shape} starts itself, so {start} would not act; use init 'own'"
    if parametrization.needs != init.gives:
        needs = " and ".join(sorted(parametrization.needs))
        return f"{shape} needs {needs}, which {start} does not give; use one such as 'kaiming'"
    if not parametrization.needs:
        return ""
    if parametrization.gated and (init.edits_base or init.quantized):
        return f"{shape} is zero at the start whatever A and B are, so there is no update for {start} to subtract"
    if parametrization.gated and init.zero in ("A", "B"):
        return (
            f"{shape} with {start} could not move: the factor in the middle is zero and so is {init.zero}, hence every "
            "gradient; use init 'normal'"
        )
    if init.edits_base and not parametrization.takes_start:
        return f"{shape} does not keep the frozen start that {start} needs"
    if init.quantized and parametrization.reads_base:
        return f"{shape} is defined by W0 itself, and {start} replaces it"
    if not (parametrization.gated or init.zero or init.edits_base or init.quantized):
        return f"{shape} with {start} would change the model before training starts; use one such as 'kaiming'"
    return ""


def storage_objection(parametrization: Parametrization, init: Init, storage: Storage) -> str:
    """Return why W0 cannot be kept by ``storage``, or an empty string."""
    if init.quantized and not storage.quantizes:
        return f"init {init.name!r} starts from what a quantized storage makes of W0; use storage 'nf4'"
    if init.needs_data == "gradients" and storage.quantizes:
        return f"init {init.name!r} needs gradients of W0, which codes ({storage.name}) do not have"
    if storage.quantizes and parametrization.kind != "delta":
        return (
            f"parametrization {parametrization.name!r} adds no factors beside W0; storage {storage.name!r} is for those"
        )
    return ""


def freezing_objection(parametrization: Parametrization, init: Init, freezing: Freezing) -> str:
    """Return why ``freezing`` leaves nothing to train, or an empty string.

    Raises:
        UsageError: it names a factor that the parametrization does not have.
    """
    names = set(parametrization.shapes(8, 8, 4))
    trains = freezing.trains(names)
    if not parametrization.gated and trains <= {"A", "B"} and init.zero in ("A", "B") and init.zero not in trains:
        other = "B" if init.zero == "A" else "A"
        return (
            f"freezing leaves only {other} to train, but init {init.name!r} starts with {init.zero} = 0, so its "
            f"gradient stays zero; use an init with {init.zero} not zero"
        )
    return ""


def dropout_objection(parametrization: Parametrization, init: Init, dropout: float) -> str:
    """Return why dropout cannot be used, or an empty string."""
    if dropout and not parametrization.drops:
        return f"dropout {dropout:g} has no place in parametrization {parametrization.name!r}; use dropout 0"
    if dropout and (init.edits_base or init.quantized):
        return (
            f"dropout {dropout:g} with init {init.name!r} would change the model before training "
            "starts; use dropout 0 or an init that starts from zero, such as 'kaiming'"
        )
    return ""


def objection(
    parametrization: Parametrization, init: Init, storage: Storage, freezing: Freezing, dropout: float = 0.0
) -> str:
    """Return the first reason why these choices do not go together, or an empty string."""
    return (
        start_objection(parametrization, init)
        or storage_objection(parametrization, init, storage)
        or freezing_objection(parametrization, init, freezing)
        or dropout_objection(parametrization, init, dropout)
    )
