"""Which choices go together, from the traits each declares: used when an adapter is made and for the pair table."""

from __future__ import annotations

from collections.abc import Sequence

from rankwise.adapters.composition import Composition
from rankwise.adapters.events.base import Event
from rankwise.adapters.freezing import Freezing
from rankwise.adapters.inits import Init
from rankwise.adapters.parametrizations import Parametrization
from rankwise.adapters.storages import Storage
from rankwise.models.attention_pattern import WHOLE


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


def event_objection(adapter: Composition, event: Event) -> str:
    """Return why ``event`` cannot act on ``adapter`` or beside its other events, or an empty string."""
    return _need(adapter, event) or _owning(adapter, event) or _beside(event, adapter.events)


def _need(adapter: Composition, event: Event) -> str:
    """Hold what an event needs against what the parametrization and the init are."""
    who, form, init = f"event {event.name!r}", adapter.parametrization, adapter.init
    frozen = adapter.freezing.describe()
    if event.needs == "layers" and form.kind == "prompt":
        return f"{who} {event.doing} and needs an adapter on layers, found parametrization {form.name!r}"
    if event.needs == "gates" and form.offers != "gates":
        return f"{who} {event.doing} and needs parametrization 'masked-difference', found {form.name!r}"
    if event.needs == "switch" and (form.offers != "switch" or "e" not in adapter.trained_shapes("", 8, 8)):
        return (
            f"{who} switches components off by their factor e, which parametrization {form.name!r} with "
            f"{frozen or 'everything training'} does not train; use 'diagonal' or 'gated'"
        )
    if event.needs == "pair" and form.offers != "pair":
        return f"{who} {event.doing} and needs parametrization 'low-rank', found {form.name!r}"
    if event.needs == "pair" and (init.edits_base or init.quantized):
        return (
            f"{who} {event.doing} beside the base as it is and needs an init that does not edit it, such as 'kaiming', "
            f"found {init.name!r}"
        )
    if event.needs == "pair" and frozen:
        return f"{who} {event.doing}, so both must train; found {frozen}"
    if event.draws_starts and init.needs_data:
        return (
            f"{who} draws new starts while training and needs an init that does not look at data, such as 'kaiming', "
            f"found {init.name!r}"
        )
    return ""


def _owning(adapter: Composition, event: Event) -> str:
    """An owner of the base writes W0."""
    if event.owns_base and (adapter.storage.quantizes or adapter.parametrization.kind != "delta"):
        return (
            f"event {event.name!r} writes W0 and needs it as it is, under an update of weights; found storage "
            f"{adapter.storage.name!r}, parametrization {adapter.parametrization.name!r}"
        )
    return ""


def _beside(event: Event, events: Sequence[Event]) -> str:
    """A run has one loss and one attention."""
    if event.owns_loss and sum(own.owns_loss for own in events) > 1:
        return f"event {event.name!r} makes the run's loss, and so does another event; keep one of them"
    if event.attention == WHOLE:
        return ""
    if sum(own.attention != WHOLE for own in events) > 1:
        return f"event {event.name!r} may come once, found another with an attention of its own"
    if owner := next((own for own in events if own.owns_loss), None):
        return (
            f"event {owner.name!r} makes the loss by passes with an attention of its own, and event {event.name!r} "
            "sets another; keep one of them"
        )
    return ""
