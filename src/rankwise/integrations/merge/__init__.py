"""``merge``: an adapter put into its base's weights, as a model folder of its own."""

from rankwise.integrations.merge.run import Merged, merge

__all__ = ["Merged", "merge"]
