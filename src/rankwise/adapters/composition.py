"""What one choice of an adapter may ask of the others when it checks whether they go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rankwise.adapters.events.base import Event
    from rankwise.adapters.freezing.base import Freezing
    from rankwise.adapters.inits.base import Init
    from rankwise.adapters.parametrizations.base import Parametrization, Shapes
    from rankwise.adapters.penalties.base import Penalty
    from rankwise.adapters.scalings.base import Scaling
    from rankwise.adapters.storages.base import Storage


class Composition(Protocol):
    """The choices of one adapter; :class:`~rankwise.adapters.adapter.Adapter` is one."""

    @property
    def rank(self) -> int:
        """The rank before an allocation changes it."""

    @property
    def dropout(self) -> float:
        """Share of the inputs that is dropped in training."""

    @property
    def parametrization(self) -> Parametrization:
        """How the update is written."""

    @property
    def init(self) -> Init:
        """Where it starts."""

    @property
    def scaling(self) -> Scaling:
        """What it is multiplied by."""

    @property
    def storage(self) -> Storage:
        """How W0 is kept."""

    @property
    def freezing(self) -> Freezing:
        """Which factors do not train."""

    @property
    def events(self) -> tuple[Event, ...]:
        """What happens during training."""

    @property
    def penalties(self) -> tuple[Penalty, ...]:
        """What is added to the loss."""

    def trained_shapes(self, module: str, d_out: int, d_in: int, rank: int | None = None) -> Shapes:
        """Return the shapes of the tensors that train in a layer."""
