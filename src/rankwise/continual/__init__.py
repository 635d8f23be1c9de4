"""Tasks learned one after another: streams, strategies and scores."""

PUBLIC = (
    "conductor",
    "strategies",
    "stream",
)
"""Modules that other rooms import."""
