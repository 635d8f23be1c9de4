"""An arm of a study: one thing to compare, and where it came from."""

from __future__ import annotations

import functools
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from rankwise.adapters import Adapter, Full
from rankwise.methods import build, card
from rankwise.studies.results.schema import BY_HAND

# Far beyond what anyone trains, and small enough that counting that far takes no memory worth speaking of.
MOST = 10_000_000
Count = Annotated[int, Field(ge=1, le=MOST)]


class Strict(BaseModel):
    """Frozen, strict about names, and without infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _option(value: Any) -> Any:
    """A text or a number; of ``events`` also an object, or a list of names and objects."""
    if isinstance(value, bool):
        return int(value)
    inner = value if isinstance(value, list | tuple) else [value] if isinstance(value, dict) else None
    if not isinstance(value, str | int | float) and not (inner and all(isinstance(one, str | dict) for one in inner)):
        raise ValueError(f"must be a text or a number, or what events takes, found {value!r:.60}")
    return value


class MadeBy(Strict):
    """The method that made an adapter.

    Attributes:
        method: catalogue name.
        options: what its builder was given.
    """

    method: str
    options: dict[str, JsonValue] = {}

    @field_validator("method")
    @classmethod
    def _of_the_catalogue(cls, method: str) -> str:
        return card(method).name  # raises UsageError for an unknown one


class Arm(Strict):
    """One thing to compare: a method with its options.

    Attributes:
        name: short and unique, used in files; ``full`` is the reference.
        label: its name in tables and figures.
        method, options: catalogue name and what its builder takes (rank, alpha, placement, events, ...).
        adapter: an adapter composed by hand, as :meth:`rankwise.Adapter.to_dict` writes it, instead of a method.
        made_by: the method that ``adapter`` came from, where one is known; ``results`` do not hold it.
        batch: examples per step, when it differs from the study's.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    label: str
    method: str = BY_HAND
    options: dict[str, Annotated[Any, BeforeValidator(_option)]] = {}
    adapter: dict[str, Any] | None = None
    made_by: MadeBy | None = None
    batch: Count | None = None

    @field_validator("options", mode="before")
    @classmethod
    def _names_as_text(cls, options: Any) -> Any:
        """A placement may be a list of module names; it is kept as the text that means the same."""
        named = isinstance(options, dict) and isinstance(options.get("placement"), list | tuple)
        return {**options, "placement": "".join(f"{name}," for name in options["placement"])} if named else options

    @field_validator("made_by")
    @classmethod
    def _beside_an_adapter(cls, made_by: MadeBy | None, info: ValidationInfo) -> MadeBy | None:
        if made_by is not None and info.data.get("adapter") is None:
            raise ValueError("it says which method an adapter came from, and there is no adapter; give method itself")
        return made_by

    @model_serializer(mode="wrap")
    def _unless_unknown(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out ``made_by`` where there is none, as in every file written before there was such a field."""
        return {name: value for name, value in plain(self).items() if name != "made_by" or value is not None}

    @property
    def known_method(self) -> str | None:
        """The catalogue name of the method that made what trains; None for an adapter composed by hand."""
        if self.adapter is None:
            return self.method
        return self.made_by.method if self.made_by is not None else None

    @property
    def is_rung(self) -> bool:
        """Whether it is LoRA on all linear layers: one of a ladder of ranks."""
        return self.method == "lora" and self.options.get("placement", "all-linear") == "all-linear"

    def target(self) -> Adapter | Full:
        """Return the spec of what trains."""
        return self.parsed

    @functools.cached_property
    def parsed(self) -> Adapter | Full:
        """The spec of what trains, made of the names once; the names stay beside it."""
        return Adapter.from_dict(self.adapter) if self.adapter is not None else build(self.method, **self.options)
