"""Other people's tools around ours: the Trainer of transformers and TRL, and experiment trackers."""

PUBLIC = (
    "compress",
    "export",
    "export.svd",
    "live",
    "merge",
    "scoring",
    "streaming",
    "trackers",
)
"""Modules that other rooms import."""
