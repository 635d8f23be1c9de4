"""Other people's tools around ours: the Trainer of transformers and TRL, and experiment trackers."""
