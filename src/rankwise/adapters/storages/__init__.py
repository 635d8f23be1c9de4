"""Axis *storage*: how W0 is kept. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.storages.as_is import AsIs
from rankwise.adapters.storages.base import Codes, Storage
from rankwise.adapters.storages.nf4 import NF4

STORAGES = register(AsIs, NF4)

__all__ = ["NF4", "STORAGES", "AsIs", "Codes", "Storage"]
