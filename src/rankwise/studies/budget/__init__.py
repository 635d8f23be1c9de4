"""Keeps a study within a given time."""
