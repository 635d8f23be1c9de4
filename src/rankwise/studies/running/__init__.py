"""Runs a study's trials: the search, then fresh seeds."""
