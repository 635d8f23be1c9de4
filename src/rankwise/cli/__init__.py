"""The command line: one thin file a command."""

PUBLIC = ("main",)
"""Modules that other rooms import."""
